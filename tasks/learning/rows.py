"""Rows of the learning jobs: training rows, the control's shuffled answers, held-out questions."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from clara_model import world
from clara_model.errors import ConfigError
from tasks.learning.world_facts import asked_for
from tasks.storage import Record


def training_rows(wanted: Record) -> Iterator[Record]:
    """The rows that a training job asked for, of the split `train`.

    Args:
        wanted: `form` ("stage1", "stage2", "stage3" or "two_hop"), `count`, `seed`, `options` of
            the world's generator, and `shuffle` for a control.
    """
    options = dict(wanted["options"])
    described = round(options.pop("described_share", 0.0) * wanted["count"])
    rows = _generator(wanted["form"])(
        wanted["count"] - described, wanted["seed"], "train", **options
    )
    if described:
        own = world.described_rows(described, wanted["seed"], "train", options["num_candidates"])
        both = [*rows, *own]
        random.Random(f"described/{wanted['seed']}").shuffle(both)
        rows = iter(both)
    return iter(shuffle_answers(rows, wanted["seed"])) if wanted["shuffle"] else rows


def shuffle_answers(rows: Iterable[Record], seed: int) -> list[Record]:
    """Give every row the answer of another one that asks for the same kind of thing.

    Answers stay of the right type and as frequent as they were, but tell no longer which document
    is right.
    """
    rows = list(rows)
    alike: dict[Any, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        alike[asked_for(row["question"])].append(place)
    shuffled = list(rows)
    for number, places in enumerate(alike.values()):
        sources = random.Random(f"shuffle/{seed}/{number}").sample(places, len(places))
        for place, source in zip(places, sources, strict=True):
            shuffled[place] = {**rows[place], "gold_answer": rows[source]["gold_answer"]}
    return shuffled


def questions(asked: Record, num_candidates: int, code_share: float) -> list[Record]:
    """Held-out questions with their candidates.

    Args:
        asked: `count`, `seed` and `split`.
        num_candidates: Documents of a question.
        code_share: 0: all by name, 1: all by alias.
    """
    return list(
        world.benchmark_rows(
            asked["count"], asked["seed"], asked["split"], num_candidates, code_share=code_share
        )
    )


def described_questions(asked: Record, num_candidates: int) -> list[Record]:
    """Held-out questions that describe somebody in words that no document has."""
    rows = world.described_rows(asked["count"], asked["seed"], asked["split"], num_candidates)
    return list(rows)


def two_hop_questions(asked: Record, num_candidates: int, hint_share: float) -> list[Record]:
    """Held-out questions that need two documents."""
    return list(
        world.two_hop_rows(
            asked["count"], asked["seed"], asked["split"], num_candidates, hint_share=hint_share
        )
    )


def crowds(rows: list[Record]) -> list[int]:
    """For each row the number of its set of candidates: questions of one crowd fail together."""
    numbers: dict[frozenset[str], int] = {}
    return [numbers.setdefault(frozenset(row["docs"]), len(numbers)) for row in rows]


def gold_documents(rows: list[Record]) -> list[str]:
    """The first gold document of each row."""
    return [row["docs"][row["pos_index"][0]] for row in rows]


def _generator(form: str) -> Any:
    name = f"{form}_rows"
    generator = getattr(world, name, None)
    if generator is None:
        raise ConfigError(f"the made-up world has no {name}; leave {form} out of the configuration")
    return generator
