"""All benchmarks by name, and the loader that tells which one a file is."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from clara_model.errors import ConfigError, DataError
from clara_model.evaluation.benchmarks import (
    clara_rows,
    cmrc2018,
    hotpotqa,
    musique,
    nq_open,
    own_rows,
    squad,
    two_wiki,
)
from clara_model.evaluation.benchmarks.files import read_content, records_of
from clara_model.evaluation.benchmarks.sample import (
    BadRecord,
    LoadedBenchmark,
    Record,
    Sample,
    SetAside,
    Spec,
)
from clara_model.evaluation.benchmarks.scripts import is_chinese

log = logging.getLogger(__name__)

# The order in which a file is asked about: the more particular first.
SPECS: dict[str, Spec] = {
    spec.name: spec
    for spec in (
        two_wiki.SPEC, hotpotqa.SPEC, musique.SPEC, own_rows.SPEC, clara_rows.SPEC, nq_open.SPEC,
        cmrc2018.SPEC, squad.SQUAD2, squad.SQUAD1,
    )
}  # fmt: skip
_SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")
_LOOKED_AT = 20  # records by which a file is told


def load_benchmark(
    name_or_path: str | Path,
    *,
    folder: Path | None = None,
    limit: int | None = None,
    spec: str | None = None,
) -> LoadedBenchmark:
    """The questions of a benchmark file.

    Args:
        name_or_path: A file (.jsonl, .json, either with .gz), or a name of `SPECS`; a name is
            looked for among the files of `folder`.
        folder: Where files lie, for a name.
        limit: Take no more than the first so many usable questions.
        spec: Read the file as this benchmark instead of telling it by its records.

    Returns:
        Samples, and the records that were set aside with reasons.

    Raises:
        ConfigError: If there is no such benchmark or file, or several files fit a name.
        DataError: If the file cannot be read, fits no benchmark, or has no usable question.
    """
    path = Path(name_or_path)
    if not path.is_file():
        path, spec = _find(str(name_or_path), folder), spec or str(name_or_path)
    if spec is not None and spec not in SPECS:
        raise ConfigError(f"no benchmark {spec!r}; there are: {', '.join(SPECS)}")
    content, bad_lines = read_content(path)
    chosen = SPECS[spec] if spec else _tell(content, path)
    samples, set_aside = _read_all(_unfold(chosen, content), chosen, path, limit)
    set_aside = [*bad_lines, *set_aside]
    if not samples:
        first = set_aside[0].reason if set_aside else "it has no records"
        raise DataError(f"{path}: no usable question of {chosen.title}; the first: {first}")
    _say(path, chosen, len(samples), set_aside)
    chinese = sum(is_chinese(sample.question) for sample in samples)
    return LoadedBenchmark(
        chosen, path, tuple(samples), tuple(set_aside), 2 * chinese > len(samples)
    )


def recognise(path: Path) -> Spec | None:
    """Which benchmark a file is, or None."""
    try:
        content, _ = read_content(path)
        return _tell(content, path)
    except DataError:
        return None


def _find(name: str, folder: Path | None) -> Path:
    if name not in SPECS:
        known = ", ".join(SPECS)
        raise ConfigError(f"{name!r} is neither a file nor a benchmark; benchmarks: {known}")
    if folder is None or not folder.is_dir():
        raise ConfigError(f"{name}: give its file, or the folder in which it lies")
    files = sorted(path for path in folder.iterdir() if path.name.endswith(_SUFFIXES))
    found = [path for path in files if (told := recognise(path)) and told.name == name]
    if len(found) != 1:
        what = f"several files are {name}" if found else f"no file is {name}"
        names = ", ".join(path.name for path in found or files)
        raise ConfigError(f"{folder}: {what} ({names}); give the file itself")
    return found[0]


def _tell(content: Any, path: Path) -> Spec:
    for spec in SPECS.values():
        for number, (_, record) in enumerate(_unfold(spec, content)):
            if isinstance(record, dict) and spec.recognises(record):
                return spec
            if number >= _LOOKED_AT:
                break
    fields = next((sorted(r) for _, r in records_of(content) if isinstance(r, dict)), [])
    raise DataError(
        f"{path}: the records fit no benchmark (fields: {', '.join(fields) or 'none'}); "
        f"known: {', '.join(SPECS)}"
    )


def _unfold(spec: Spec, content: Any) -> Iterable[tuple[str, Any]]:
    return spec.unfold(content) if spec.unfold else records_of(content)


def _read_all(
    records: Iterable[tuple[str, Any]], spec: Spec, path: Path, limit: int | None
) -> tuple[list[Sample], list[SetAside]]:
    enrich = spec.companion(path) if spec.companion else None
    samples: list[Sample] = []
    set_aside: list[SetAside] = []
    seen: set[str] = set()
    for number, (place, record) in enumerate(records):
        if limit is not None and len(samples) >= limit:
            break
        try:
            sample = _read_one(record, number, spec, enrich)
            if sample.id in seen:
                raise BadRecord(f"id {sample.id} was there before")
        except BadRecord as err:
            set_aside.append(SetAside(place, str(err)))
            continue
        seen.add(sample.id)
        samples.append(sample)
    return samples, set_aside


def _read_one(record: Any, number: int, spec: Spec, enrich: Any) -> Sample:
    if not isinstance(record, dict):
        raise BadRecord("not a JSON object")
    given: Record = enrich(record) if enrich else record
    return spec.read(given, number)


def _say(path: Path, spec: Spec, count: int, set_aside: list[SetAside]) -> None:
    log.info("%s: %d questions of %s", path, count, spec.title)
    for reason, times in Counter(item.reason for item in set_aside).most_common(5):
        log.warning("%s: %d records set aside: %s", path, times, reason)


def iter_specs() -> Iterator[Spec]:
    """All known benchmarks, in the order in which files are asked about."""
    yield from SPECS.values()
