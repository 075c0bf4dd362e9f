"""Questions over two documents: a person's names the employer, the employer's holds the answer.

Shortcuts are closed. Each company among the candidates is named by exactly one person's document
and no two companies share a value, so neither any company, nor one that somebody names, nor the one
most often named, is more likely to be right than another; no other document states the answer.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from clara_model import world_words as words
from clara_model.world.categories import CATEGORIES, category_of, clause
from clara_model.world.entities import (
    Entity,
    Fact,
    Split,
    code_of,
    draw_rng,
    employed,
    fill,
    grid_names,
)
from clara_model.world.rows import QUESTIONS_PER_CROWD

# Companies for which one hint holds, where there are enough: with the person they fill a top five.
HINT_FITS = 4
MIN_CANDIDATES, MIN_DOCS = 10, 4
# No two companies share a mascot, and there are 24 animals.
MAX_CANDIDATES = 2 * min(len(words.ANIMALS), len(words.COLOURS))
_HINTS = ("home_city", "founding_year")


class EmployedCrowd(NamedTuple):
    """Persons and companies, shuffled, and who works where.

    Args:
        entities: Half persons, half companies; of an odd number one person more.
        pairs: Positions of (person, employer): each company once. Of an odd number, the person
            left over works for a company that is not there.
    """

    entities: list[Entity]
    pairs: list[tuple[int, int]]


def two_hop_rows(
    count: int,
    seed: int,
    split: Split,
    num_candidates: int = 20,
    *,
    one_hop_share: float = 0.0,
    code_share: float = 0.0,
    hint_share: float = 0.0,
) -> Iterator[dict[str, Any]]:
    """Rows of stage 3 with two golds: `pos_index` holds the person's document, then the company's.

    A question names the person only, so nothing in it tells one company from another: a retriever
    that reads the question once can do no better than guess the second document. A hint ("the
    company that employs Ada Bell and operates inside Brannoc") fits two to four companies: they
    can be retrieved, and only the person's document tells which of them is meant.

    Args:
        count: How many rows.
        seed: Names the world; the same seed gives the same rows.
        split: Whose names to use.
        num_candidates: Documents a row, 10 to 48.
        one_hop_share: Chance of a question about one document of the same crowd instead (`kind`
            says which).
        code_share: Chance that a question gives a code instead of a name.
        hint_share: Chance that a two-hop question also gives a category of the company.

    Raises:
        ValueError: If the number of candidates does not allow such rows.
    """
    _check_size("num_candidates", num_candidates, MIN_CANDIDATES)
    shares = (one_hop_share, code_share, hint_share)
    rows = _endless_rows("two-hop", seed, split, num_candidates, QUESTIONS_PER_CROWD, shares)
    yield from islice(rows, count)


def two_hop_stage2_rows(
    count: int,
    seed: int,
    split: Split,
    num_docs: int = 5,
    *,
    one_hop_share: float = 0.0,
    code_share: float = 0.0,
    hint_share: float = 0.0,
) -> Iterator[dict[str, Any]]:
    """Rows of stage 2 with both golds among `num_docs` (4 to 48) documents, each of its own crowd.

    Arguments as of `two_hop_rows`. At least two companies and two persons, employed by different
    ones, are there.

    Raises:
        ValueError: If the number of documents does not allow such rows.
    """
    _check_size("num_docs", num_docs, MIN_DOCS)
    shares = (one_hop_share, code_share, hint_share)
    for row in islice(_endless_rows("two-hop-stage2", seed, split, num_docs, 1, shares), count):
        yield {**row, "answer": row["gold_answer"]}


def draw_employed_crowd(rng: random.Random, split: Split, size: int) -> EmployedCrowd:
    """A crowd whose companies each employ exactly one of its persons.

    No two companies share a value, and no person shares one with a company. Companies fall into
    groups of two to four by the province of their city, and into others by their founding decade.
    """
    # Of an odd number, one employer has no document.
    employers = grid_names(rng, "company", split, size - size // 2)
    companies = _companies(rng, employers[: size // 2])
    persons = _persons(rng, grid_names(rng, "person", split, len(employers)), companies)
    everyone = [employed(p, name) for p, name in zip(persons, employers, strict=True)] + companies
    order = rng.sample(range(size), size)
    return EmployedCrowd(
        [everyone[i] for i in order],
        [(order.index(i), order.index(len(persons) + i)) for i in range(len(companies))],
    )


def _endless_rows(
    stage: str,
    seed: int,
    split: Split,
    num_docs: int,
    per_crowd: int,
    shares: tuple[float, float, float],
) -> Iterator[dict[str, Any]]:
    one_hop_share, code_share, hint_share = shares
    index = 0
    while True:
        rng = draw_rng(seed, split, stage, index)
        crowd = draw_employed_crowd(rng, split, num_docs)
        documents = [entity.document(rng) for entity in crowd.entities]
        one_hop = rng.sample(one_hop_questions(rng, crowd, code_share), per_crowd)
        two_hop = rng.sample(two_hop_questions(rng, crowd, code_share, hint_share), per_crowd)
        for simple, complex_ in zip(one_hop, two_hop, strict=True):
            is_simple = rng.random() < one_hop_share
            golds, question, answer = simple if is_simple else complex_
            order = rng.sample(range(num_docs), num_docs)
            yield {
                "id": f"world-{seed}-{split}-{stage}-{index}",
                "origin": "world",
                "kind": "one-hop" if is_simple else "two-hop",
                "question": question,
                "docs": [documents[e] for e in order],
                "gold_answer": answer,
                "pos_index": [order.index(gold) for gold in golds],
            }
            index += 1


def one_hop_questions(
    rng: random.Random, crowd: EmployedCrowd, code_share: float
) -> list[tuple[list[int], str, str]]:
    """Of every fact of the crowd the positions of its golds (one), a question and the answer."""
    return [
        ([e], question, answer)
        for e, entity in enumerate(crowd.entities)
        for question, answer in entity.questions(rng, code_share=code_share)
    ]


def two_hop_questions(
    rng: random.Random, crowd: EmployedCrowd, code_share: float, hint_share: float
) -> list[tuple[list[int], str, str]]:
    """Of every fact of an employer the golds (person, company), a question and the answer."""
    asked = []
    for person, company in crowd.pairs:
        name = crowd.entities[person].name
        for fact in crowd.entities[company].facts:
            called = code_of(name) if rng.random() < code_share else name
            if rng.random() < hint_share:
                hint = _hint(rng, crowd.entities[company], fact.attribute)
                phrase = rng.choice(words.HINTED_EMPLOYER_PHRASES).replace("{c}", hint)
            else:
                phrase = rng.choice(words.EMPLOYER_PHRASES)
            question = fill(rng.choice(fact.questions), fill(phrase, called))
            asked.append(([person, company], question, fact.value))
    return asked


def _hint(rng: random.Random, company: Entity, asked: str) -> str:
    fact = rng.choice([f for f in company.facts if f.attribute in _HINTS and f.attribute != asked])
    return clause(rng, fact.attribute, category_of(fact.attribute, fact.value))


def _companies(rng: random.Random, names: list[str]) -> list[Entity]:
    """Companies that share no value; those of a group share the category that a hint gives."""
    columns = [
        _grouped(rng, attribute, len(names))
        if attribute in _HINTS
        else rng.sample(values, len(names))
        for attribute, values, _, _ in words.COMPANY_FACTS
    ]
    return [
        Entity(
            "company",
            name,
            tuple(
                Fact(attribute, column[i], statements, questions)
                for (attribute, _, statements, questions), column in zip(
                    words.COMPANY_FACTS, columns, strict=True
                )
            ),
        )
        for i, name in enumerate(names)
    ]


def _grouped(rng: random.Random, attribute: str, count: int) -> list[str]:
    """Different values of as few categories as groups of `HINT_FITS` allow, in a drawn order."""
    groups = math.ceil(count / HINT_FITS)
    members = CATEGORIES[attribute].members
    drawn = []
    for g, category in enumerate(rng.sample(sorted(members), groups)):
        drawn += rng.sample(members[category], count // groups + (g < count % groups))
    rng.shuffle(drawn)
    return drawn


def _persons(rng: random.Random, names: list[str], companies: list[Entity]) -> list[Entity]:
    """Persons whose birth cities and years are no company's city or founding year."""
    taken = {fact.value for company in companies for fact in company.facts}
    return [
        Entity(
            "person",
            name,
            tuple(
                Fact(attribute, rng.choice([v for v in values if v not in taken]), *wordings)
                for attribute, values, *wordings in words.PERSON_FACTS
            ),
        )
        for name in names
    ]


def _check_size(what: str, size: int, least: int) -> None:
    if not least <= size <= MAX_CANDIDATES:
        raise ValueError(f"two-hop rows need {what} from {least} to {MAX_CANDIDATES}, not {size}")
