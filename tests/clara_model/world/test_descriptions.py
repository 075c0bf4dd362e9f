"""Questions by description: one candidate fits, and no word of a document gives it away."""

from __future__ import annotations

import random
import re
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clara_model import world, world_words
from clara_model.retrieval import search_tokens
from clara_model.rows import EndToEndRow

SPLITS = ("train", "dev", "test")
LISTS = ("CITIES", "YEARS", "PROFESSIONS", "HOBBIES", "PRODUCTS", "COLOURS", "ANIMALS")
VALUES = {value for name in LISTS for value in getattr(world_words, name)}
NAMES = {name for table in world.categories.CATEGORIES.values() for name in table.members}


def common_knowledge() -> dict[str, str]:
    """Which category a value is of, as the category sentences tell."""
    told = {}
    for sentence in world.category_sentences(random.Random(0)):
        words = re.findall(r"\w+", sentence)
        (value,) = {word for word in words if word in VALUES}
        (told[value],) = {word for word in words if word in NAMES}
    return told


KNOWN = common_knowledge()


def traits(document: str) -> set[str]:
    return {KNOWN[word] for word in re.findall(r"\w+", document) if word in KNOWN}


def fitting(row: dict, wanted: set[str]) -> list[int]:
    """Candidates of the kind asked for that have all the categories."""
    kinds = (
        world_words.GIVEN_NAMES if "One person" in row["question"] else world_words.COMPANY_NAMES
    )
    return [
        i
        for i, document in enumerate(row["docs"])
        if set(document.split()) & set(kinds) and wanted <= traits(document)
    ]


def test_category_sentences_cover_every_value_once() -> None:
    assert set(KNOWN) == VALUES
    # A city or year is of one category, whether a person or a company has it.
    assert len(world.category_sentences(random.Random(1))) == len(VALUES)
    for value, category in (
        ("potter", "craftsmen"),
        ("violins", "instruments"),
        ("1934", "thirties"),
    ):
        assert KNOWN[value] == category


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), split=st.sampled_from(SPLITS), size=st.integers(2, 60))
def test_a_description_fits_exactly_one_candidate(seed: int, split: world.Split, size: int) -> None:
    for row in world.described_rows(5, seed, split, size):
        EndToEndRow.model_validate(row)
        assert len(row["docs"]) == size
        wanted = set(re.findall(r"\w+", row["question"])) & NAMES
        assert len(wanted) in (2, 3)
        assert fitting(row, wanted) == row["pos_index"]
        assert f" {row['gold_answer']}" in row["docs"][row["pos_index"][0]]
        assert KNOWN.get(row["gold_answer"]) not in wanted


@pytest.mark.parametrize("size", [10, 20, 60])
def test_no_part_of_a_description_suffices(size: int) -> None:
    for row in world.described_rows(150, 0, "test", size):
        wanted = set(re.findall(r"\w+", row["question"])) & NAMES
        for part in combinations(sorted(wanted), len(wanted) - 1):
            assert len(fitting(row, set(part))) > 1


def test_descriptions_share_no_telling_word_with_any_document() -> None:
    rows = list(world.described_rows(600, 0, "test"))
    described = {w for row in rows for w in search_tokens(row["question"].split(". ")[0])}
    written = {w for row in rows for text in row["docs"] for w in search_tokens(text)}
    assert described & written <= {"the"}
    told = {word.lower() for word in world.vocabulary()}
    assert not {name.lower() for name in NAMES} & told


def test_rows_depend_on_nothing_but_arguments_and_position() -> None:
    rows = world.described_rows
    assert list(rows(40, 3, "dev"))[:13] == list(rows(13, 3, "dev"))
    ids = [r["id"] for s in (0, 1) for split in SPLITS for r in rows(12, s, split)]
    assert len(set(ids)) == 72


def test_the_extended_vocabulary_holds_every_word() -> None:
    rows = [
        *world.described_rows(300, 0, "train"),
        *world.two_hop_rows(300, 0, "train", one_hop_share=0.3, code_share=0.3, hint_share=0.5),
    ]
    texts = [text for row in rows for text in (row["question"], row["gold_answer"], *row["docs"])]
    texts += world.category_sentences(random.Random(0))
    spoken = {word.strip(".,?") for text in texts for word in text.replace("-", " ").split()}
    assert spoken <= set(world.extended_vocabulary())
    assert set(world.vocabulary()) < set(world.extended_vocabulary())


@pytest.mark.parametrize("attribute", sorted(world.categories.CATEGORIES))
def test_categories_divide_the_values_of_their_attribute(attribute: str) -> None:
    tables = (*world_words.PERSON_FACTS, *world_words.COMPANY_FACTS)
    values = next(values for name, values, *_ in tables if name == attribute)
    members = world.categories.CATEGORIES[attribute].members
    assert sorted(value for group in members.values() for value in group) == sorted(values)
