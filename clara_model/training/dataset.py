"""The rows of a stage, and their division into steps, ranks and micro-batches."""

from __future__ import annotations

import heapq
import logging
import random
from pathlib import Path
from typing import Any

from clara_model.errors import ConfigError, DataError
from clara_model.rows import read_rows
from clara_model.training.data_mix import mix_rows
from clara_model.training.grouping import WINDOW_STEPS, GroupedSampler, padding_share
from clara_model.training.heldout import hold_out
from clara_model.training.lengths import ExampleLengths
from clara_model.training.sampler import Sampler
from clara_model.training.spec import TrainSpec

log = logging.getLogger(__name__)

Row = dict[str, Any]


class Dataset:
    """All rows of a stage in memory, and which of them each step sees."""

    def __init__(self, spec: TrainSpec) -> None:
        self._sources = _read_sources(spec)
        if spec.stage == "stage3":
            _even_candidates([row for rows in self._sources for row in rows], spec.training.seed)
        self._sources, self.held_out = hold_out(self._sources, spec)
        documents, world = (len(rows) for rows in self._sources)
        self.sampler = Sampler(
            documents, world, spec.world_share, spec.training.batch_size, spec.training.seed
        )
        self.num_steps = spec.training.steps or self.sampler.num_steps(spec.training.epochs)
        log.info("%d rows of documents, %d of the world: %d steps of %d examples",
                 documents, world, self.num_steps, spec.training.batch_size)  # fmt: skip
        self._grouped: GroupedSampler | None = None
        if spec.group_by_length:
            lengths = ExampleLengths(self._sources, spec)
            self._grouped = GroupedSampler(self.sampler, lengths, self.num_steps)
            self._log_padding(lengths)

    def batch(self, step: int) -> list[Row]:
        """The rows of one step, for all ranks together."""
        sampler = self._grouped or self.sampler
        return [self._sources[source][row] for source, row in sampler.batch(step)]

    def longest_rows(self, number: int) -> list[Row]:
        """The rows with most characters; the same ones again where there are fewer than asked."""
        rows = heapq.nlargest(number, (row for rows in self._sources for row in rows), _characters)
        return (rows * -(-number // len(rows)))[:number]

    def documents(self) -> list[str]:
        """Every document that some step or evaluation sees; the same one may come many times."""
        # Grouping by length only changes their order.
        picks = {pick for step in range(self.num_steps) for pick in self.sampler.batch(step)}
        rows = [self._sources[source][row] for source, row in sorted(picks)] + self.held_out
        return [text for row in rows for text in row["docs"]]

    def _log_padding(self, lengths: ExampleLengths) -> None:
        steps = range(min(self.num_steps, WINDOW_STEPS))
        shares = []
        for sampler in (self._grouped or self.sampler, self.sampler):
            batches = [
                [lengths(source, [row])[0] for source, row in sampler.batch(step)] for step in steps
            ]
            shares.append(100 * padding_share(batches))
        log.info("batches by length: padding %.0f %%, without grouping %.0f %%", *shares)


def count_micro_batches(spec: TrainSpec) -> int:
    """Forward passes that each rank does in a step.

    Raises:
        ConfigError: If the batch cannot be shared out evenly.
    """
    batch, ranks = spec.training.batch_size, spec.num_processes
    if batch % ranks:
        raise ConfigError(
            f"training.{spec.stage}.batch_size {batch} is not a multiple of "
            f"training.num_processes {ranks}; change one of them"
        )
    per_rank = batch // ranks
    micro = spec.training.micro_batch_size
    return -(-per_rank // (per_rank if micro == "auto" else micro))


def split_batch(rows: list[Row], num_micro: int, rank: int, num_ranks: int) -> list[list[Row]]:
    """One rank's micro-batches of a step's rows, none empty.

    Rows of like length come together: it saves padding, and ranks wait less for each other.
    """
    ordered = sorted(rows, key=_length)  # stable, so the same on all ranks
    parts = num_micro * num_ranks
    bounds = [len(ordered) * i // parts for i in range(parts + 1)]
    return [
        ordered[bounds[i] : bounds[i + 1]] for i in range(rank, parts, num_ranks)
    ]  # fmt: skip


def _characters(row: Row) -> int:
    # A question may be one text or several.
    texts = (*row["question"], *row.get("answers", ()), *row["docs"])
    return sum(len(text) for text in texts)


def _length(row: Row) -> int:
    return max(len(text) for text in row["docs"])


def _read_sources(spec: TrainSpec) -> tuple[list[Row], list[Row]]:
    has_world = spec.world is not None and spec.world_share > 0 and spec.world.is_file()
    world = _read(spec.world, spec) if has_world and spec.world else []
    # Everything from the world is a choice that needs no documents.
    documents = [] if spec.world_share >= 1 and world else _read(spec.documents, spec)
    if not documents and not world:
        raise DataError(
            f"{spec.documents} has no rows to train on; run the steps before it on more "
            "documents, or set training.world.share above 0"
        )
    return documents, world


def _read(path: Path, spec: TrainSpec) -> list[Row]:
    rows = list(read_rows(path, spec.stage))
    if spec.stage != "stage1":
        return rows
    return mix_rows(rows, spec.training.data_mix, spec.training.seed)


def _even_candidates(rows: list[Row], seed: int) -> None:
    """Bring every row to the same number of candidates, with documents of other rows."""
    most = max(len(row["docs"]) for row in rows)
    short = [(i, row) for i, row in enumerate(rows) if len(row["docs"]) < most]
    if not short:
        return
    pool = sorted({text for row in rows for text in row["docs"]})
    for i, row in short:
        answer = row["gold_answer"].casefold()
        own = set(row["docs"])
        drawn = random.Random(f"{seed}/{i}").sample(pool, min(len(pool), 4 * most + len(own)))
        fresh = [text for text in drawn if text not in own and answer not in text.casefold()]
        missing = most - len(row["docs"])
        if len(fresh) < missing:
            raise DataError(
                f"row {row['id'] or i} has {len(row['docs'])} candidates, others have {most}, and "
                "there are too few other documents to fill it up; lower negatives.num_candidates"
            )
        row["docs"] = [*row["docs"], *fresh[:missing]]
    log.info("%d rows were filled up to %d candidates with random documents", len(short), most)
