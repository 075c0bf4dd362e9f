"""Mining in blocks of questions, each on disk when it is done: a run that was cut off continues."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Block:
    """Questions, and the file that their negatives go to."""

    questions: tuple[Asked, ...]
    path: Path


# Has blocks mined by others; gives the number of questions of each as soon as it is on disk.
MineElsewhere = Callable[[Sequence[Block]], Iterator[int]]


def mine_in_blocks(
    folder: Path,
    title: str,
    questions: Sequence[Asked],
    prepare: Callable[[], MineBlock],
    elsewhere: MineElsewhere | None = None,
) -> Iterator[Picked]:
    """The negatives of every question, in order, from disk; blocks that are missing are mined.

    Args:
        folder: Of this list of questions and these settings, and of nothing else.
        title: For the progress display.
        questions: All of them.
        prepare: Called if anything is left to do; gives what mines one block.
        elsewhere: Who mines them instead.
    """
    starts = range(0, len(questions), BLOCK)
    paths = [folder.absolute() / f"block-{start // BLOCK:06d}.jsonl" for start in starts]
    missing = [
        Block(tuple(questions[start : start + BLOCK]), path)
        for start, path in zip(starts, paths, strict=True)
        if not path.is_file()
    ]
    if missing:
        with progress(title, len(questions)) as advance:
            advance(BLOCK * (len(paths) - len(missing)))
            for count in elsewhere(missing) if elsewhere else _mine_here(missing, prepare()):
                advance(count)
    for path in paths:
        for _, row in read_jsonl(path):
            yield Picked(tuple(row["positions"]), tuple(row["by"]))


def mine_block(block: Block, mine: MineBlock) -> int:
    """Mine a block and leave it on disk, whole or not at all; returns its number of questions."""
    picks = mine(block.questions)
    write_jsonl(block.path, ({"positions": p.positions, "by": p.found_by} for p in picks))
    return len(block.questions)


def _mine_here(blocks: Sequence[Block], mine: MineBlock) -> Iterator[int]:
    return (mine_block(block, mine) for block in blocks)


def progress_folder(root: Path, fingerprint: str) -> Path:
    """Where the blocks of one mining lie; those of any other are removed."""
    own = root / fingerprint[:16]
    if root.is_dir():
        for other in root.iterdir():
            if other != own:
                shutil.rmtree(other)
    return own
