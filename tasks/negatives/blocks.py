"""Mining in blocks of questions, each on disk when it is done: a run that was cut off continues."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from clara_model.rows import read_jsonl
from tasks.negatives.mine import Asked, Picked
from tasks.progress import progress
from tasks.storage import write_jsonl

# Raised by hand whenever the same questions and settings would find other negatives.
MINING_VERSION = 1

# What a kill costs at most; the same in every run, so that a continued one finds the same.
BLOCK = 512

MineBlock = Callable[[Sequence[Asked]], list[Picked]]


def mine_in_blocks(
    folder: Path, title: str, questions: Sequence[Asked], prepare: Callable[[], MineBlock]
) -> Iterator[Picked]:
    """The negatives of every question, in order, from disk; blocks that are missing are mined.

    Args:
        folder: Of this list of questions and these settings, and of nothing else.
        title: For the progress display.
        questions: All of them.
        prepare: Called if anything is left to do; gives what mines one block.
    """
    starts = range(0, len(questions), BLOCK)
    paths = [folder / f"block-{start // BLOCK:06d}.jsonl" for start in starts]
    missing = [(s, p) for s, p in zip(starts, paths, strict=True) if not p.is_file()]
    if missing:
        mine_block = prepare()
        with progress(title, len(questions)) as advance:
            advance(BLOCK * (len(paths) - len(missing)))
            for start, path in missing:
                block = questions[start : start + BLOCK]
                picks = mine_block(block)
                write_jsonl(path, ({"positions": p.positions, "by": p.found_by} for p in picks))
                advance(len(block))
    for path in paths:
        for _, row in read_jsonl(path):
            yield Picked(tuple(row["positions"]), tuple(row["by"]))


def progress_folder(root: Path, fingerprint: str) -> Path:
    """Where the blocks of one mining lie; those of any other are removed."""
    own = root / fingerprint[:16]
    if root.is_dir():
        for other in root.iterdir():
            if other != own:
                shutil.rmtree(other)
    return own
