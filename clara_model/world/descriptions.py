"""Questions that describe an entity instead of naming it, in words that no document has."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from typing import Any

from clara_model.world.categories import CATEGORIES, category_of, clause
from clara_model.world.entities import Entity, Split, draw_crowd, draw_rng, fill
from clara_model.world.rows import QUESTIONS_PER_CROWD

# Among fewer, hardly any category is shared: there a part of a description may do.
SMALL_CROWD = 10


def described_rows(
    count: int, seed: int, split: Split, num_candidates: int = 20
) -> Iterator[dict[str, Any]]:
    """Rows of stage 3 whose questions describe: "One person enjoys games and calls Brannoc ...".

    A description of two or three categories fits exactly one candidate, and with ten candidates or
    more needs all of them: no part of it gives the entity away. What is asked for is not described.

    Args:
        count: How many rows.
        seed: Names the world; the same seed gives the same rows.
        split: Whose names to use.
        num_candidates: Documents a row.
    """
    yield from islice(_endless_rows(seed, split, num_candidates), count)


def describe(rng: random.Random, entity: Entity, crowd: Sequence[Entity], asked: str) -> str | None:
    """A sentence that is true of one entity of the crowd only, or None if there is none.

    Args:
        rng: Where the draws come from.
        entity: Who is described; one of the crowd.
        crowd: From whom to tell it apart.
        asked: Attribute to be silent about.
    """
    others = [_traits(e) for e in crowd if e.kind == entity.kind and e.name != entity.name]
    own = _traits(entity)
    attributes = [a for a in own if a != asked]
    rng.shuffle(attributes)

    def alone(chosen: tuple[str, ...]) -> bool:
        return not any(all(other[a] == own[a] for a in chosen) for other in others)

    unique = [c for size in (2, 3) for c in combinations(attributes, size) if alone(c)]
    if not unique:
        return None
    needed = [c for c in unique if not any(alone(less) for less in combinations(c, len(c) - 1))]
    if not needed and len(crowd) >= SMALL_CROWD:
        return None
    chosen = rng.choice(needed or unique)
    *clauses, last = (clause(rng, a, own[a]) for a in chosen)
    return f"One {entity.kind} {', '.join(clauses)} and {last}."


def _traits(entity: Entity) -> dict[str, str]:
    """The category of every fact that has one, by attribute."""
    return {
        fact.attribute: category_of(fact.attribute, fact.value)
        for fact in entity.facts
        if fact.attribute in CATEGORIES
    }


def _endless_rows(seed: int, split: Split, num_docs: int) -> Iterator[dict[str, Any]]:
    index = crowds = 0
    while True:
        rng = draw_rng(seed, split, "described", crowds)
        crowds += 1
        crowd = draw_crowd(rng, split, num_docs)
        documents = [entity.document(rng) for entity in crowd]
        asked = [(e, fact) for e, entity in enumerate(crowd) for fact in entity.facts]
        for target, fact in rng.sample(asked, min(QUESTIONS_PER_CROWD, len(asked))):
            description = describe(rng, crowd[target], crowd, fact.attribute)
            if description is None:
                continue
            question = fill(rng.choice(fact.questions), f"this {crowd[target].kind}")
            order = rng.sample(range(num_docs), num_docs)
            yield {
                "id": f"world-{seed}-{split}-described-{index}",
                "origin": "world",
                "kind": "described",
                "question": f"{description} {question}",
                "docs": [documents[e] for e in order],
                "gold_answer": fact.value,
                "pos_index": [order.index(target)],
            }
            index += 1
