"""Who there is in the made-up world: persons and companies, their names, facts and documents.

Full names are combinations of words, and the combinations (not the words) are divided over the
splits `train`, `dev` and `test`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Literal, NamedTuple

from clara_model import world_words as words

Kind = Literal["person", "company"]
Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")

# Names are cut into blocks of 8 x 8 combinations; a block belongs to one split, so that any split
# can build a crowd of names that share their words.
BLOCK = 8
GRID = 7


class Fact(NamedTuple):
    """One thing that is true of an entity, with the words that state it and ask for it."""

    attribute: str
    value: str
    statements: tuple[str, str]
    questions: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Entity:
    """A person or a company of the world."""

    kind: Kind
    name: str
    facts: tuple[Fact, ...]

    def document(self, rng: random.Random) -> str:
        """Every fact once, in a drawn order and wording; the full name is in every sentence."""
        order = rng.sample(self.facts, len(self.facts))
        return " ".join(fill(rng.choice(fact.statements), self.name, fact.value) for fact in order)

    def questions(self, rng: random.Random, *, code_share: float = 0.0) -> list[tuple[str, str]]:
        """One (question, answer) pair for every fact, in a drawn order and wording.

        Args:
            rng: Where the draws come from.
            code_share: Chance that a question gives the code instead of the name.
        """
        order = rng.sample(self.facts, len(self.facts))
        return [
            (
                fill(
                    rng.choice(fact.questions),
                    code_of(self.name) if rng.random() < code_share else self.name,
                ),
                fact.value,
            )
            for fact in order
        ]

    def complex_question(self, rng: random.Random) -> tuple[str, str]:
        """One question about all facts, and their values in the order of the table."""
        question = fill(rng.choice(words.COMPLEX_QUESTIONS), self.name)
        return question, ", ".join(fact.value for fact in self.facts)


def code_of(name: str) -> str:
    """The short form of a full name, such as `JUN-FOU` for Juniper Foundry.

    No document tells it and no word of it is in the name, so matching words finds nothing: who
    retrieves by a code must have learnt what it stands for.
    """
    first, second = name.split()
    return f"{CODES[first]}-{CODES[second]}"


def draw_entity(rng: random.Random, split: Split) -> Entity:
    """One entity of the split, person or company with equal chance."""
    kind: Kind = rng.choice(("person", "company"))
    return make_entity(rng, kind, draw_name(rng, kind, split))


def draw_crowd(rng: random.Random, split: Split, size: int) -> list[Entity]:
    """Entities whose names share words: half persons, half companies, from a 7 x 7 grid each.

    Args:
        rng: Where the draws come from.
        split: Whose name combinations to use.
        size: How many entities; all names differ.

    Raises:
        ValueError: If `size` is below 1 or above what two grids hold (98).
    """
    if not 1 <= size <= 2 * GRID * GRID:
        raise ValueError(f"a crowd holds 1 to {2 * GRID * GRID} entities, not {size}")
    persons = (size + rng.randint(0, 1)) // 2
    crowd = draw_grid(rng, "person", split, persons) + draw_grid(
        rng, "company", split, size - persons
    )
    rng.shuffle(crowd)
    return crowd


def employed(person: Entity, employer: str) -> Entity:
    """The same person, whose document also says for whom the person works."""
    fact = Fact("employer", employer, words.EMPLOYER_STATEMENTS, words.EMPLOYER_QUESTIONS)
    return replace(person, facts=(*person.facts, fact))


def draw_name(rng: random.Random, kind: Kind, split: Split) -> str:
    """One full name of the split."""
    first, second = rng.choice(name_blocks(kind, split))
    return f"{rng.choice(first)} {rng.choice(second)}"


def grid_names(rng: random.Random, kind: Kind, split: Split, size: int) -> list[str]:
    """Different full names from a 7 x 7 grid: they share their words."""
    first, second = rng.choice(name_blocks(kind, split))
    names = list(product(rng.sample(first, GRID), rng.sample(second, GRID)))
    return [f"{a} {b}" for a, b in rng.sample(names, size)]


def make_entity(rng: random.Random, kind: Kind, name: str) -> Entity:
    """An entity of the name, its facts drawn one by one."""
    table = words.PERSON_FACTS if kind == "person" else words.COMPANY_FACTS
    facts = tuple(
        Fact(attribute, rng.choice(values), statements, questions)
        for attribute, values, statements, questions in table
    )
    return Entity(kind, name, facts)


def draw_grid(rng: random.Random, kind: Kind, split: Split, size: int) -> list[Entity]:
    """Entities of one kind whose names are from a 7 x 7 grid."""
    return [make_entity(rng, kind, name) for name in grid_names(rng, kind, split, size)]


def name_blocks(kind: Kind, split: Split) -> list[tuple[list[str], list[str]]]:
    """The split's share of name blocks: three fifths train, one fifth dev, one fifth test."""
    first, second = (
        (words.GIVEN_NAMES, words.FAMILY_NAMES)
        if kind == "person"
        else (words.COMPANY_NAMES, words.COMPANY_KINDS)
    )
    return [
        (first[i : i + BLOCK], second[j : j + BLOCK])
        for i in range(0, len(first), BLOCK)
        for j in range(0, len(second), BLOCK)
        if _split_of_block(i // BLOCK, j // BLOCK) == split
    ]


def _split_of_block(i: int, j: int) -> Split:
    # A diagonal pattern: training meets every word of every name, but no pair of another split.
    return ("train", "train", "train", "dev", "test")[(i + 2 * j) % 5]


def draw_rng(seed: int, split: Split, purpose: str, index: int) -> random.Random:
    """Where a row's draws come from: nothing but these arguments."""
    return random.Random(f"world/{seed}/{split}/{purpose}/{index}")


def _codes(names: list[str]) -> dict[str, str]:
    """Three letters for each word: its first, and the first later two that nobody took."""
    taken: dict[str, str] = {}
    for name in names:
        letters = name.upper()
        options = (letters[0] + a + b for a, b in combinations(letters[1:], 2))
        taken[next(code for code in options if code not in taken)] = name
    return {name: code for code, name in taken.items()}


CODES = _codes(words.GIVEN_NAMES + words.FAMILY_NAMES + words.COMPANY_NAMES + words.COMPANY_KINDS)


def fill(sentence: str, name: str, value: str = "") -> str:
    """A sentence of the tables with name and value put in."""
    return sentence.replace("{n}", name).replace("{v}", value)
