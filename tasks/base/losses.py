"""The loss curve of pretraining, whole however often it was interrupted."""

from __future__ import annotations

from pathlib import Path

from tasks.storage import Record, read_records, write_jsonl


def keep_losses(path: Path, lines: list[Record]) -> None:
    """Write the curve; the part before a checkpoint that this run resumed from is kept."""
    if not lines:  # all steps were done before
        return
    first = lines[0]["step"]
    earlier = read_records(path) if path.is_file() and first > 1 else []
    write_jsonl(path, [*(line for line in earlier if line["step"] < first), *lines])
