"""Tags of runs in an image, which holds no checkout and no git."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.schema import PipelineConfig
from tasks.tracking import tags
from tasks.workspace import Workspace


@pytest.mark.parametrize("commit", ["c0ffee" * 6 + "beef", ""], ids=["given", "not given"])
def test_without_a_checkout_the_commit_is_the_one_that_the_image_was_built_with(
    commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CLARA_GIT_COMMIT", commit)
    tags._git_commit.cache_clear()
    try:
        found = tags.describe_pipeline(
            PipelineConfig(workspace=tmp_path), Workspace(tmp_path), "run"
        )
    finally:
        tags._git_commit.cache_clear()
    named = {key: found.get(key) for key in ("clara.git_commit", "mlflow.source.git.commit")}
    assert named == dict.fromkeys(named, commit or None)
