"""A made-up world of people and companies, generated without end from a seed.

A small decoder learns to read only from plenty of text, and learning can be measured honestly only
on names it never met. So full names are combinations of words, and the combinations (not the words)
are divided over the splits `train`, `dev` and `test`. Every row is a function of its arguments and
its position alone: asking for more rows never changes the first ones. Writing rows to disk and
mixing them with a user's own is the caller's business.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice, product
from typing import Any, Literal, NamedTuple

from clara_model import world_words as words

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")

# Names are cut into blocks of 8 x 8 combinations; a block belongs to one split, so that any split
# can build a crowd of names that share their words.
BLOCK = 8
GRID = 7
# Questions that share one crowd of candidates: compressing the candidates is what stage 3 costs.
QUESTIONS_PER_CROWD = 10
# A complex question has five answers for one wording, so that the loss is about the facts more than
# about how one asks for them: without, whole attributes never enter a small decoder's memory.
COMPLEX_SHARE = 0.5
# Most questions that ask for retrieval name nobody: words alone find only the others.
CODE_SHARE = 0.8


class Fact(NamedTuple):
    """One thing that is true of an entity, with the words that state it and ask for it."""

    attribute: str
    value: str
    statements: tuple[str, str]
    questions: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Entity:
    """A person or a company of the world."""

    kind: Literal["person", "company"]
    name: str
    facts: tuple[Fact, ...]

    def document(self, rng: random.Random) -> str:
        """Every fact once, in a drawn order and wording; the full name is in every sentence."""
        order = rng.sample(self.facts, len(self.facts))
        return " ".join(_fill(rng.choice(fact.statements), self.name, fact.value) for fact in order)

    def questions(self, rng: random.Random, *, code_share: float = 0.0) -> list[tuple[str, str]]:
        """One (question, answer) pair for every fact, in a drawn order and wording.

        Args:
            rng: Where the draws come from.
            code_share: Chance that a question gives the code instead of the name.
        """
        order = rng.sample(self.facts, len(self.facts))
        return [
            (
                _fill(
                    rng.choice(fact.questions),
                    code_of(self.name) if rng.random() < code_share else self.name,
                ),
                fact.value,
            )
            for fact in order
        ]

    def complex_question(self, rng: random.Random) -> tuple[str, str]:
        """One question about all facts, and their values in the order of the table."""
        question = _fill(rng.choice(words.COMPLEX_QUESTIONS), self.name)
        return question, ", ".join(fact.value for fact in self.facts)


def code_of(name: str) -> str:
    """The short form of a full name, such as `JUN-FOU` for Juniper Foundry.

    No document tells it and no word of it is in the name, so matching words finds nothing: who
    retrieves by a code must have learnt what it stands for.
    """
    first, second = name.split()
    return f"{_CODES[first]}-{_CODES[second]}"


def draw_entity(rng: random.Random, split: Split) -> Entity:
    """One entity of the split, person or company with equal chance."""
    kind: Literal["person", "company"] = rng.choice(("person", "company"))
    blocks = _blocks(kind, split)
    first, second = rng.choice(blocks)
    return _entity(rng, kind, f"{rng.choice(first)} {rng.choice(second)}")


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
    crowd = _grid(rng, "person", split, persons) + _grid(rng, "company", split, size - persons)
    rng.shuffle(crowd)
    return crowd


def stage1_rows(
    count: int,
    seed: int,
    split: Split,
    *,
    paraphrase_share: float = 0.0,
    complex_share: float = COMPLEX_SHARE,
) -> Iterator[dict[str, Any]]:
    """Rows of one document with its simple questions, a complex one, or another wording of it.

    Args:
        count: How many rows.
        seed: Names the world; the same seed gives the same rows.
        split: Whose names to use.
        paraphrase_share: Chance that a row is of type `paraphrase` instead of `qa`.
        complex_share: Chance that a row of questions holds one about all facts instead of one
            about each.
    """
    for index in range(count):
        rng = _rng(seed, split, "stage1", index)
        entity = draw_entity(rng, split)
        document = entity.document(rng)
        if rng.random() < paraphrase_share:
            kind, questions, answers = "paraphrase", [""], [entity.document(rng)]
            what = kind
        else:
            is_complex = rng.random() < complex_share
            pairs = [entity.complex_question(rng)] if is_complex else entity.questions(rng)
            kind, questions, answers = "qa", [q for q, _ in pairs], [a for _, a in pairs]
            what = "complex" if is_complex else "simple"
        yield {
            "id": f"world-{seed}-{split}-stage1-{index}",
            "origin": "world",
            "data_type": kind,
            "kind": what,
            "question": questions,
            "answers": answers,
            "docs": [document],
        }


def stage2_rows(count: int, seed: int, split: Split, num_docs: int = 1) -> Iterator[dict[str, Any]]:
    """Rows of one question and `num_docs` documents, one of which holds the answer."""
    for row in _question_rows("stage2", count, seed, split, num_docs, 1, 0.0):
        yield {**row, "answer": row["gold_answer"]}


def stage3_rows(
    count: int,
    seed: int,
    split: Split,
    num_candidates: int = 20,
    *,
    code_share: float = CODE_SHARE,
) -> Iterator[dict[str, Any]]:
    """Rows of one question and `num_candidates` documents whose names share words.

    Args:
        count: How many rows.
        seed: Names the world; the same seed gives the same rows.
        split: Whose names to use.
        num_candidates: Documents a row.
        code_share: Chance that a question gives a code instead of a name.
    """
    yield from _question_rows(
        "stage3", count, seed, split, num_candidates, QUESTIONS_PER_CROWD, code_share
    )


def benchmark_rows(
    count: int,
    seed: int,
    split: Split,
    num_candidates: int = 20,
    *,
    code_share: float = CODE_SHARE,
) -> Iterator[dict[str, Any]]:
    """Rows like those of stage 3, for measuring: other ids, other draws."""
    yield from _question_rows(
        "benchmark", count, seed, split, num_candidates, QUESTIONS_PER_CROWD, code_share
    )


def vocabulary() -> list[str]:
    """Every word of the world, sorted: names, values, and the words of all sentences."""
    found: set[str] = set()
    for facts in (words.PERSON_FACTS, words.COMPANY_FACTS):
        for _, values, statements, questions in facts:
            found.update(values)
            for sentence in (*statements, *questions):
                found.update(_fill(sentence, "", "").replace(".", "").replace("?", "").split())
    for question in words.COMPLEX_QUESTIONS:
        found.update(_fill(question, "").replace("?", "").split())
    for names in (words.GIVEN_NAMES, words.FAMILY_NAMES, words.COMPANY_NAMES, words.COMPANY_KINDS):
        found.update(names)
    return sorted(found | set(_CODES.values()))


def _question_rows(
    stage: str,
    count: int,
    seed: int,
    split: Split,
    num_docs: int,
    per_crowd: int,
    code_share: float,
) -> Iterator[dict[str, Any]]:
    rows = _endless_question_rows(stage, seed, split, num_docs, per_crowd, code_share)
    yield from islice(rows, count)


def _endless_question_rows(
    stage: str, seed: int, split: Split, num_docs: int, per_crowd: int, code_share: float
) -> Iterator[dict[str, Any]]:
    index = 0
    while True:
        rng = _rng(seed, split, stage, index)
        crowd = draw_crowd(rng, split, num_docs)
        documents = [entity.document(rng) for entity in crowd]
        asked = [
            (e, question, answer)
            for e, entity in enumerate(crowd)
            for question, answer in entity.questions(rng, code_share=code_share)
        ]
        for target, question, answer in rng.sample(asked, min(per_crowd, len(asked))):
            order = rng.sample(range(num_docs), num_docs)
            yield {
                "id": f"world-{seed}-{split}-{stage}-{index}",
                "origin": "world",
                "question": question,
                "docs": [documents[e] for e in order],
                "gold_answer": answer,
                "pos_index": [order.index(target)],
            }
            index += 1


def _grid(rng: random.Random, kind: str, split: Split, size: int) -> list[Entity]:
    first, second = rng.choice(_blocks(kind, split))
    names = list(product(rng.sample(first, GRID), rng.sample(second, GRID)))
    return [_entity(rng, kind, f"{a} {b}") for a, b in rng.sample(names, size)]


def _entity(rng: random.Random, kind: str, name: str) -> Entity:
    table = words.PERSON_FACTS if kind == "person" else words.COMPANY_FACTS
    facts = tuple(
        Fact(attribute, rng.choice(values), statements, questions)
        for attribute, values, statements, questions in table
    )
    return Entity("person" if kind == "person" else "company", name, facts)


def _blocks(kind: str, split: Split) -> list[tuple[list[str], list[str]]]:
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


def _rng(seed: int, split: Split, purpose: str, index: int) -> random.Random:
    return random.Random(f"world/{seed}/{split}/{purpose}/{index}")


def _codes(names: list[str]) -> dict[str, str]:
    """Three letters for each word: its first, and the first later two that nobody took."""
    taken: dict[str, str] = {}
    for name in names:
        letters = name.upper()
        options = (letters[0] + a + b for a, b in combinations(letters[1:], 2))
        taken[next(code for code in options if code not in taken)] = name
    return {name: code for code, name in taken.items()}


_CODES = _codes(words.GIVEN_NAMES + words.FAMILY_NAMES + words.COMPANY_NAMES + words.COMPANY_KINDS)


def _fill(sentence: str, name: str, value: str = "") -> str:
    return sentence.replace("{n}", name).replace("{v}", value)
