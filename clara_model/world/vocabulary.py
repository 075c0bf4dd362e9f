"""The words of the made-up world, for tokenizers and copy tasks."""

from __future__ import annotations

from clara_model import world_words as words
from clara_model.world.categories import CATEGORIES
from clara_model.world.entities import CODES, fill


def vocabulary() -> list[str]:
    """Every word of the world, sorted: names, values, and the words of all sentences."""
    found: set[str] = set()
    for facts in (words.PERSON_FACTS, words.COMPANY_FACTS):
        for _, values, statements, questions in facts:
            found.update(values)
            for sentence in (*statements, *questions):
                found.update(fill(sentence, "", "").replace(".", "").replace("?", "").split())
    for question in words.COMPLEX_QUESTIONS:
        found.update(fill(question, "").replace("?", "").split())
    for names in (words.GIVEN_NAMES, words.FAMILY_NAMES, words.COMPANY_NAMES, words.COMPANY_KINDS):
        found.update(names)
    return sorted(found | set(CODES.values()))


def extended_vocabulary() -> list[str]:
    """`vocabulary` and the words of employers, categories and descriptions, sorted."""
    sentences = [
        *words.EMPLOYER_STATEMENTS,
        *words.EMPLOYER_QUESTIONS,
        *words.EMPLOYER_PHRASES,
        *words.HINTED_EMPLOYER_PHRASES,
        "One this person company",
    ]
    found = set(vocabulary())
    for table in CATEGORIES.values():
        found.update(table.members)
        sentences += [*table.clauses, *table.sentences]
    for sentence in sentences:
        plain = fill(sentence, "").replace("{c}", "").replace(".", "").replace("?", "")
        found.update(plain.split())
    return sorted(found)
