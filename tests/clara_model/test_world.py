"""The made-up world: what its rows say, and that its splits keep names apart."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clara_model import world, world_words

SPLITS = ("train", "dev", "test")
STREAMS = {
    "stage1": lambda count, seed, split: world.stage1_rows(count, seed, split),
    "stage2": lambda count, seed, split: world.stage2_rows(count, seed, split, 3),
    "stage3": lambda count, seed, split: world.stage3_rows(count, seed, split, 6),
    "benchmark": lambda count, seed, split: world.benchmark_rows(count, seed, split, 6),
}
VALUE_LISTS = ("CITIES", "YEARS", "UNIVERSITIES", "PROFESSIONS", "HOBBIES", "PRODUCTS", "COLOURS")
NAME_LISTS = ("GIVEN_NAMES", "FAMILY_NAMES", "COMPANY_NAMES", "COMPANY_KINDS")


def names_in(text: str) -> set[str]:
    """Full names told of in a text: neighbouring words that name lists hold in that order."""
    words = text.replace(".", " ").replace("?", " ").split()
    pairs = pairwise(words)
    return {
        f"{a} {b}"
        for a, b in pairs
        if (a in world_words.GIVEN_NAMES and b in world_words.FAMILY_NAMES)
        or (a in world_words.COMPANY_NAMES and b in world_words.COMPANY_KINDS)
    }


def names_of_split(split: str) -> set[str]:
    rows = world.stage1_rows(1500, 0, split)
    return {name for row in rows for name in names_in(row["docs"][0])}


@pytest.mark.parametrize("stream", STREAMS)
def test_same_arguments_give_the_same_rows(stream: str) -> None:
    assert list(STREAMS[stream](25, 3, "train")) == list(STREAMS[stream](25, 3, "train"))


@pytest.mark.parametrize("stream", STREAMS)
def test_more_rows_begin_with_the_same_rows(stream: str) -> None:
    assert list(STREAMS[stream](40, 3, "dev"))[:13] == list(STREAMS[stream](13, 3, "dev"))


@pytest.mark.parametrize("stream", STREAMS)
def test_seeds_and_splits_tell_different_things(stream: str) -> None:
    def texts(seed: int, split: str) -> list[list[str]]:
        return [row["docs"] for row in STREAMS[stream](10, seed, split)]

    assert texts(0, "train") != texts(1, "train")
    assert texts(0, "train") != texts(0, "dev")


@pytest.mark.parametrize("stream", STREAMS)
def test_ids_are_unique_over_seeds_splits_and_streams(stream: str) -> None:
    ids = [
        row["id"]
        for name, rows in STREAMS.items()
        for seed in (0, 1)
        for split in SPLITS
        for row in rows(12, seed, split)
        if name == stream
    ]
    assert len(set(ids)) == len(ids) == 72
    assert all(row["origin"] == "world" for row in STREAMS[stream](3, 0, "test"))


def test_no_full_name_is_in_two_splits() -> None:
    train, dev, test = (names_of_split(split) for split in SPLITS)
    assert min(len(train), len(dev), len(test)) > 300
    assert train.isdisjoint(dev)
    assert train.isdisjoint(test)
    assert dev.isdisjoint(test)


def test_training_meets_every_word_of_the_names_that_are_tested() -> None:
    train = {word for name in names_of_split("train") for word in name.split()}
    unseen = {word for name in names_of_split("test") for word in name.split()} - train
    assert unseen == set()


def test_no_word_has_two_meanings() -> None:
    lists = [getattr(world_words, name) for name in (*VALUE_LISTS, "ANIMALS", *NAME_LISTS)]
    counts = Counter(word for words in lists for word in words)
    assert [word for word, count in counts.items() if count > 1] == []


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), split=st.sampled_from(SPLITS))
def test_a_stage1_row_asks_for_every_fact_of_its_document(seed: int, split: str) -> None:
    (row,) = world.stage1_rows(1, seed, split, complex_share=0.0)
    (document,) = row["docs"]
    (name,) = names_in(document)
    assert row["data_type"] == "qa"
    assert len(row["question"]) == len(row["answers"]) == 5
    assert all(name in question for question in row["question"])
    assert document.count(name) == document.count(".") == 5
    assert all(document.count(f" {answer}") == 1 for answer in row["answers"])


def test_complex_rows_ask_for_all_facts_at_once() -> None:
    rows = list(world.stage1_rows(300, 0, "train", complex_share=0.4))
    complex_rows = [row for row in rows if len(row["question"]) == 1]
    assert 80 <= len(complex_rows) <= 160
    for row in complex_rows:
        (name,) = names_in(row["docs"][0])
        assert name in row["question"][0]
        assert all(f" {value}" in row["docs"][0] for value in row["answers"][0].split(", "))
        assert row["answers"][0].count(", ") == 4


def test_paraphrase_rows_say_the_same_in_the_share_that_was_asked_for() -> None:
    rows = list(world.stage1_rows(400, 0, "train", paraphrase_share=0.25))
    paraphrases = [row for row in rows if row["data_type"] == "paraphrase"]
    assert 70 <= len(paraphrases) <= 130
    values = {v for name in (*VALUE_LISTS, "ANIMALS") for v in getattr(world_words, name)}
    for row in paraphrases:
        told, retold = row["docs"][0], row["answers"][0]
        assert names_in(told) == names_in(retold)
        facts = [
            {w for w in text.replace(".", "").split() if w in values} for text in (told, retold)
        ]
        assert facts[0] == facts[1]
        assert len(facts[0]) == 5
    assert sum(row["docs"] == row["answers"] for row in paraphrases) < 5


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    split=st.sampled_from(SPLITS),
    size=st.integers(1, 40),
    stream=st.sampled_from((world.stage3_rows, world.benchmark_rows)),
)
def test_the_position_points_to_the_only_document_about_the_one_asked_for(
    seed: int, split: str, size: int, stream: object
) -> None:
    for row in stream(12, seed, split, size, code_share=0.0):  # type: ignore[operator]
        (name,) = names_in(row["question"])
        assert len(row["docs"]) == size
        told = [names_in(document) for document in row["docs"]]
        assert [i for i, names in enumerate(told) if name in names] == row["pos_index"]
        assert all(len(names) == 1 for names in told)
        assert f" {row['gold_answer']}" in row["docs"][row["pos_index"][0]]


def test_a_code_stands_for_one_name_and_shares_no_word_with_any_document() -> None:
    names = sorted(set.union(*(names_of_split(split) for split in SPLITS)))
    codes = [world.code_of(name) for name in names]
    assert len(set(codes)) == len(names)
    told = {word.lower() for word in world.vocabulary() if not word.isupper()}
    assert told.isdisjoint(part.lower() for code in codes for part in code.split("-"))


def test_four_in_five_questions_give_a_code_in_place_of_the_name() -> None:
    rows = list(world.benchmark_rows(400, 0, "dev", 6))
    coded = [row for row in rows if not names_in(row["question"])]
    assert 290 <= len(coded) <= 350
    for row in coded:
        (name,) = names_in(row["docs"][row["pos_index"][0]])
        assert world.code_of(name) in row["question"]


def test_stage2_rows_teach_the_gold_answer() -> None:
    rows = list(world.stage2_rows(20, 0, "train", 2))
    assert all(row["answer"] == row["gold_answer"] for row in rows)
    assert "answer" not in next(world.stage3_rows(1, 0, "train", 2))


def test_candidates_share_words_of_their_names() -> None:
    (row,) = world.stage3_rows(1, 0, "test", 20)
    names = [next(iter(names_in(document))) for document in row["docs"]]
    first = Counter(name.split()[0] for name in names)
    second = Counter(name.split()[1] for name in names)
    alone = [name for name in names if first[name.split()[0]] == second[name.split()[1]] == 1]
    assert len(set(names)) == 20
    assert len(alone) <= 4
    persons = sum(name.split()[0] in world_words.GIVEN_NAMES for name in names)
    assert persons == 10


def test_positions_of_the_right_document_are_spread() -> None:
    rows = islice(world.stage3_rows(600, 0, "train", 4), 600)
    counts = Counter(row["pos_index"][0] for row in rows)
    assert set(counts) == {0, 1, 2, 3}
    assert min(counts.values()) > 110


def test_questions_about_one_crowd_share_their_candidates() -> None:
    rows = list(world.stage3_rows(world.QUESTIONS_PER_CROWD + 1, 0, "train", 8))
    crowds = [frozenset(row["docs"]) for row in rows]
    assert len(set(crowds[:-1])) == 1
    assert crowds[-1] != crowds[0]
    assert len({row["question"] for row in rows}) == len(rows)


@pytest.mark.parametrize("size", [0, 99])
def test_an_impossible_number_of_candidates_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 98"):
        next(world.stage3_rows(1, 0, "train", size))


def test_rows_and_words_are_those_that_published_figures_were_measured_on() -> None:
    digest = hashlib.sha256()
    for stream in STREAMS.values():
        for row in stream(30, 1, "test"):
            digest.update(json.dumps(row).encode())
    digest.update(" ".join(world.vocabulary()).encode())
    assert digest.hexdigest() == "91802c7d96339905be5a7bc666f512974cf3c45a4508546238b71341b5d9e3f9"


def test_the_vocabulary_holds_every_word_of_the_rows() -> None:
    known = set(world.vocabulary())
    texts = [
        text
        for row in world.stage1_rows(300, 5, "train")
        for text in (*row["docs"], *row["question"], *row["answers"])
    ]
    told = {word.strip(".,?") for text in texts for word in text.split()}
    assert told <= known
    assert len(known) < 1000
