"""Two-hop questions: solvable by reading twice, and by nothing less."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clara_model import world, world_words
from clara_model.rows import EndToEndRow, InstructionRow

SPLITS = ("train", "dev", "test")
NAME = r"([A-Z]\w+ [A-Z]\w+)"
EMPLOYER = re.compile(
    rf"{NAME} is employed by {NAME} in a steady position\.|The employer of {NAME} is still {NAME}\."
)
# What a question asks for, by a word only such questions have; and how documents state it.
ASKED = {
    "office": "city", "seat": "city", "founded": "year", "founding": "year", "logo": "colour",
    "mascot": "animal", "make": "product", "product": "product",
}  # fmt: skip
STATED = {
    "city": re.compile(r"(?:main office in the city of|seat of .{3,30} is in the city of) (\w+)\."),
    "year": re.compile(r"found(?:ed by two friends|ing of .{3,30} took place) in the year (\d+)\."),
    "product": re.compile(r"(?:customers for making|main product of .{3,30} is still) (\w+)\."),
    "colour": re.compile(r"(?:colour (\w+) for its logo|logo of .{3,30} has the colour (\w+))\."),
    "animal": re.compile(r"(?:took the (\w+) as its|mascot of .{3,30} is the (\w+)\.)"),
}  # fmt: skip
HINT = re.compile(
    r"(?:operates inside|pays taxes inside|opened during the|emerged during the) (\w+)"
)


def found(pattern: re.Pattern[str], text: str) -> list[str]:
    return [next(g for g in match.groups() if g) for match in pattern.finditer(text)]


def employments(docs: list[str]) -> dict[str, str]:
    """Who works where, by what the documents say."""
    pairs = {}
    for document in docs:
        for a, b, c, d in EMPLOYER.findall(document):
            assert (a or c) not in pairs
            pairs[a or c] = b or d
    return pairs


def companies(docs: list[str]) -> dict[str, str]:
    """Documents of companies by name."""
    subjects = {Counter(re.findall(NAME, d)).most_common(1)[0][0]: d for d in docs}
    return {n: d for n, d in subjects.items() if n.split()[1] in world_words.COMPANY_KINDS}


def asked_for(question: str) -> str:
    (attribute,) = {ASKED[w] for w in re.findall(r"\w+", question) if w in ASKED}
    return attribute


def solve(row: dict[str, Any]) -> tuple[str, list[int]]:
    """Answer by rule: the person in the question, the employer, the employer's document."""
    person = re.search(NAME, re.sub(r"^\w+", "", row["question"]))
    assert person
    employer = employments(row["docs"])[person[1]]
    document = companies(row["docs"])[employer]
    (answer,) = found(STATED[asked_for(row["question"])], document)
    (first,) = [i for i, text in enumerate(row["docs"]) if person[1] in text]
    return answer, [first, row["docs"].index(document)]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    split=st.sampled_from(SPLITS),
    size=st.integers(10, 48),
    hint_share=st.sampled_from((0.0, 0.5, 1.0)),
)
def test_reading_twice_gives_the_answer(
    seed: int, split: world.Split, size: int, hint_share: float
) -> None:
    for row in world.two_hop_rows(11, seed, split, size, hint_share=hint_share):
        EndToEndRow.model_validate(row)
        assert len(row["docs"]) == size
        assert solve(row) == (row["gold_answer"], row["pos_index"])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), split=st.sampled_from(SPLITS), size=st.integers(10, 48))
def test_every_shortcut_is_as_likely_wrong_as_a_guess(
    seed: int, split: world.Split, size: int
) -> None:
    for row in world.two_hop_rows(3, seed, split, size):
        there = companies(row["docs"])
        assert len(there) == size // 2 >= 5
        employers = Counter(employments(row["docs"]).values())
        # Every company is somebody's employer, none is named more often than another.
        assert {name: employers[name] for name in there} == dict.fromkeys(there, 1)
        values = [found(STATED[asked_for(row["question"])], text) for text in there.values()]
        assert len({value for (value,) in values}) == len(there)
        answer = re.compile(rf"\b{row['gold_answer']}\b")  # a blacksmith is not black
        stating = [i for i, text in enumerate(row["docs"]) if answer.search(text)]
        assert stating == row["pos_index"][1:]
        person = next(p for p, c in employments(row["docs"]).items() if p in row["question"])
        assert person not in row["docs"][row["pos_index"][1]]
        assert not any(name in row["question"] for name in there)


@pytest.mark.parametrize("size", [10, 20, 21, 48])
def test_a_hint_fits_two_to_four_companies_and_does_not_tell_which(size: int) -> None:
    fits = []
    for row in world.two_hop_rows(60, 1, "dev", size, hint_share=1.0):
        (hint,) = HINT.findall(row["question"])
        table = "founding_year" if " during " in row["question"] else "home_city"
        members = world.categories.CATEGORIES[table].members[hint]
        pattern = STATED["year" if table == "founding_year" else "city"]
        fitting = [t for t in row["docs"] if set(found(pattern, t)) & set(members)]
        assert row["docs"][row["pos_index"][1]] in fitting
        assert row["gold_answer"] not in members
        fits.append(len(fitting))
    assert set(fits) <= {2, 3, 4}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), split=st.sampled_from(SPLITS), size=st.integers(4, 12))
def test_stage2_rows_hold_both_golds_and_as_many_wrong_pairs(
    seed: int, split: world.Split, size: int
) -> None:
    (row,) = world.two_hop_stage2_rows(1, seed, split, size)
    InstructionRow.model_validate(row)
    assert row["answer"] == row["gold_answer"]
    assert len(row["docs"]) == size
    assert solve(row) == (row["gold_answer"], row["pos_index"])
    jobs = employments(row["docs"])
    assert len(set(jobs.values())) == len(jobs) == size - size // 2 >= 2
    assert set(companies(row["docs"])) <= set(jobs.values())
    assert len(companies(row["docs"])) == size // 2 >= 2


def test_five_documents_by_default() -> None:
    assert {len(r["docs"]) for r in world.two_hop_stage2_rows(5, 0, "train")} == {5}
    assert {len(r["docs"]) for r in world.two_hop_rows(5, 0, "train")} == {20}


def test_wordings_attributes_and_golds_places_vary() -> None:
    rows = list(world.two_hop_rows(600, 0, "train", 10))
    kinds = Counter(asked_for(row["question"]) for row in rows)
    assert set(kinds) == set(STATED)
    assert min(kinds.values()) > 70
    phrased = sum("the employer of" in row["question"] for row in rows)
    assert 240 <= phrased <= 360
    places = Counter(tuple(row["pos_index"]) for row in rows)
    assert len(places) == 90
    assert all(len({*pair}) == 2 for pair in places)


def test_one_hop_questions_come_in_the_share_asked_for() -> None:
    rows = list(world.two_hop_rows(400, 0, "train", 10, one_hop_share=0.25))
    simple = [row for row in rows if row["kind"] == "one-hop"]
    assert 70 <= len(simple) <= 130
    for row in simple:
        (gold,) = row["pos_index"]
        assert f" {row['gold_answer']}" in row["docs"][gold]
        assert any(part in row["question"] for part in re.findall(NAME, row["docs"][gold]))
    assert any(row["question"].startswith("Who employs") for row in simple)
    assert all(len(row["pos_index"]) == 2 for row in rows if row["kind"] == "two-hop")


def test_codes_replace_the_person_in_the_share_asked_for() -> None:
    rows = list(world.two_hop_rows(100, 0, "train", 10, code_share=1.0))
    for row in rows:
        person = row["docs"][row["pos_index"][0]]
        (name,) = [n for n in employments([person])]
        assert name not in row["question"]
        assert world.code_of(name) in row["question"]


@pytest.mark.parametrize("rows", [world.two_hop_rows, world.two_hop_stage2_rows])
def test_rows_depend_on_nothing_but_arguments_and_position(rows: Callable[..., Any]) -> None:
    assert list(rows(40, 3, "dev"))[:13] == list(rows(13, 3, "dev"))
    assert next(rows(1, 3, "dev"))["docs"] != next(rows(1, 4, "dev"))["docs"]
    ids = [r["id"] for s in (0, 1) for split in SPLITS for r in rows(12, s, split)]
    assert len(set(ids)) == 72


def test_no_person_and_no_company_is_in_two_splits() -> None:
    names = []
    for split in SPLITS:
        rows = world.two_hop_rows(1500, 0, split)
        jobs = [employments(row["docs"]) for row in rows]
        names.append({name for job in jobs for pair in job.items() for name in pair})
    assert min(len(found) for found in names) > 300
    assert sum(len(found) for found in names) == len(set.union(*names))


@pytest.mark.parametrize(
    ("rows", "size"),
    [(world.two_hop_rows, 9), (world.two_hop_rows, 49), (world.two_hop_stage2_rows, 3)],
)
def test_sizes_that_would_open_a_shortcut_are_refused(rows: Callable[..., Any], size: int) -> None:
    with pytest.raises(ValueError, match=f"to 48, not {size}"):
        next(rows(1, 0, "train", size))


def test_stage1_rows_teach_employers_where_asked_to() -> None:
    rows = list(world.stage1_rows(300, 0, "train", employer_share=1.0, complex_share=0.0))
    jobs = [(row, employments(row["docs"])) for row in rows]
    told = [(row, job) for row, job in jobs if job]
    assert 110 <= len(told) <= 190  # about half of all entities are persons
    for row, job in told:
        ((person, employer),) = job.items()
        assert len(row["question"]) == 6
        (place,) = [i for i, answer in enumerate(row["answers"]) if answer == employer]
        assert row["question"][place] in (
            f"Who employs {person}?", f"Which company is the employer of {person}?",
        )  # fmt: skip


def test_shortcut_scores_agree_with_a_count_by_hand() -> None:
    row = {
        "question": "In what year was the employer of Ada Nobody founded?",
        "gold_answer": "1931",
        "pos_index": [0, 3],
        "docs": [
            "Alice Abbott is employed by Heron Mills in a steady position. Alice Abbott sings.",
            "Boris Holt is employed by Acorn Mills in a steady position. Boris Holt sings.",
            "The employer of Clara Holt is still Acorn Mills. Clara Holt sings.",
            "Heron Mills was founded by two friends in the year 1931.",
            "Acorn Mills was founded by two friends in the year 1932.",
            "Acorn Guild was founded by two friends in the year 1933.",
        ],
    }
    # Companies: Heron Mills (right), Acorn Mills (named twice), Acorn Guild (named by nobody).
    assert world.shortcut_scores([row, {**row, "pos_index": [0]}], k=2) == pytest.approx(
        {
            "any_company": 1 / 3, "employer": 1 / 2, "most_named": 0,
            "hinted": 1 / 3, "recall@2": 1 / 3,
        }
    )  # fmt: skip
    hinted = {**row, "question": "Who ... the company that emerged during the thirties?"}
    docs = [doc.replace("1933", "1943") for doc in row["docs"]]
    scores = world.shortcut_scores([{**hinted, "docs": docs}], k=2)
    assert (scores["hinted"], scores["recall@2"]) == (0.5, 0.5)
    with pytest.raises(ValueError, match="no two-hop row"):
        world.shortcut_scores([{**row, "pos_index": [0]}])


def test_with_twenty_candidates_shortcuts_score_one_in_ten() -> None:
    scores = world.shortcut_scores(world.two_hop_rows(100, 0, "test"))
    assert scores == pytest.approx(
        {"any_company": 0.1, "employer": 0.1, "most_named": 0.1, "hinted": 0.1, "recall@5": 0.4}
    )
    hinted = world.shortcut_scores(world.two_hop_rows(100, 0, "test", hint_share=1.0))
    assert 0.25 <= hinted["hinted"] <= 1 / 3  # ten companies in groups of 4, 3 and 3
    assert hinted["recall@5"] == 1.0
