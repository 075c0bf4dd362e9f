"""A small configuration on which the whole pipeline runs in a minute or two."""

from __future__ import annotations

from pathlib import Path

import pytest

from small_pipeline import SAMPLES, Pipeline


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few sample documents of different kinds, and two files that cannot be read."""
    folder = tmp_path_factory.mktemp("documents")
    by_kind: dict[str, Path] = {}
    for path in sorted(SAMPLES.iterdir()):
        by_kind.setdefault(path.suffix.lower(), path)
    for path in by_kind.values():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "empty.pdf").write_bytes(b"")
    (folder / "broken.docx").write_bytes(b"PK\x03\x04 this is no document")
    return folder


@pytest.fixture(scope="session")
def finished(documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A pipeline that has run to its end undisturbed."""
    pipeline = Pipeline(tmp_path_factory.mktemp("finished"), documents)
    output = pipeline.clara("run")
    (pipeline.folder / "output.txt").write_text(output)
    return pipeline
