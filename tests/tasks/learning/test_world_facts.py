"""Reading the made-up world's texts back, and the control that is made from that."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from clara_model import world, world_words
from clara_model.errors import ConfigError
from tasks.learning.rows import crowds, questions, shuffle_answers, training_rows
from tasks.learning.world_facts import Asked, asked_for, chance_among, facts_in

PERSON = "Ada Bell was born in the old city of Kelso. The birth of Ada Bell was announced in the year 1931."  # fmt: skip  # noqa: E501
OTHER = "The birthplace of Una Vale is the old city of Orford."
NAMESAKE = "The birthplace of Ian Bell is the old city of Kelso."
COMPANY = "The seat of Acorn Mills is in the city of Kelso."


def test_facts_are_read_from_sentences_of_either_wording() -> None:
    assert facts_in(PERSON) == {
        Asked("person", "birth_city"): "Kelso",
        Asked("person", "birth_year"): "1931",
    }
    assert facts_in(COMPANY) == {Asked("company", "home_city"): "Kelso"}


def test_every_question_and_document_of_the_world_is_understood() -> None:
    for row in questions({"count": 100, "seed": 3, "split": "dev"}, 4, 0.5):
        asked = asked_for(row["question"])
        assert asked is not None
        gold = row["docs"][row["pos_index"][0]]
        assert facts_in(gold)[asked] == row["gold_answer"]


def test_chance_is_over_documents_of_the_right_kind() -> None:
    question = "In which city was Ada Bell born?"
    # Two of the three persons were born in Kelso; the company there does not count.
    chance = chance_among(question, "Kelso", [PERSON, OTHER, NAMESAKE, COMPANY])
    assert chance == pytest.approx(2 / 3)
    assert chance_among("Who is that?", "Kelso", [PERSON]) is None


def test_the_controls_answers_are_shuffled_among_questions_of_one_kind() -> None:
    rows = list(world.stage3_rows(600, 1, "train", 6, code_share=0.5))
    shuffled = shuffle_answers(rows, 1)
    kept = [a["gold_answer"] == b["gold_answer"] for a, b in zip(rows, shuffled, strict=True)]
    # Values repeat, so that a few rows get their own answer again.
    assert sum(kept) < 0.2 * len(rows)
    for before, after in zip(rows, shuffled, strict=True):
        assert {**before, "gold_answer": ""} == {**after, "gold_answer": ""}
    answers: list[dict[Asked | None, Counter[str]]] = []
    for version in (rows, shuffled):
        counts: dict[Asked | None, Counter[str]] = defaultdict(Counter)
        for row in version:
            counts[asked_for(row["question"])][row["gold_answer"]] += 1
        answers.append(counts)
    assert answers[0] == answers[1]


def test_only_a_control_is_shuffled() -> None:
    wanted = {"form": "stage3", "count": 40, "seed": 0, "options": {"num_candidates": 4}}
    plain = list(training_rows({**wanted, "shuffle": False}))
    assert plain == list(world.stage3_rows(40, 0, "train", 4))
    assert list(training_rows({**wanted, "shuffle": True})) == shuffle_answers(plain, 0)


def test_some_of_the_questions_describe_where_that_is_asked_for() -> None:
    options = {"num_candidates": 20, "code_share": 0.5, "described_share": 0.25}
    wanted = {"form": "stage3", "count": 40, "seed": 0, "options": options, "shuffle": False}
    rows = list(training_rows(wanted))
    described = [row for row in rows if row.get("kind") == "described"]
    assert (len(rows), len(described)) == (40, 10)
    assert all(asked_for(row["question"]) is not None for row in rows)
    assert list(training_rows(wanted)) == rows


def test_rows_that_the_world_lacks_are_refused() -> None:
    wanted = {"form": "nine_hop", "count": 1, "seed": 0, "options": {}, "shuffle": False}
    with pytest.raises(ConfigError, match="no nine_hop_rows"):
        training_rows(wanted)


def test_held_out_names_are_never_trained_on() -> None:
    held_out = questions({"count": 50, "seed": 0, "split": "test"}, 6, 0.0)
    trained = list(world.stage3_rows(200, 0, "train", 6))

    def names(rows: list) -> set[tuple[str, ...]]:
        first = set(world_words.GIVEN_NAMES + world_words.COMPANY_NAMES)
        found = set()
        for row in rows:
            for text in row["docs"]:
                tokens = text.replace(".", "").split()
                found |= {(a, b) for a, b in pairwise(tokens) if a in first}
        return found

    second = set(world_words.FAMILY_NAMES + world_words.COMPANY_KINDS)
    ours = {pair for pair in names(held_out) if pair[1] in second}
    assert ours
    assert not ours & names(trained)


def test_questions_about_the_same_documents_are_one_crowd() -> None:
    rows = questions({"count": 25, "seed": 0, "split": "dev"}, 6, 0.0)
    assert crowds(rows) == [0] * 10 + [1] * 10 + [2] * 5
