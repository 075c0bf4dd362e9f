"""What the rules reply to each request of the synthesis protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.llm.rules.answer import answer
from tasks.synthesis.checks import fault_of_language, fault_of_pair, fault_of_question
from tasks.synthesis.prompts import build_messages

VELIN = (
    "Mara Velin founded Tidewater Optics in 1987. Mara Velin was born in Duskmoor. "
    "Tidewater Optics employs 85 people."
)
TEA = "云台茶园由林海若于1987年创办。林海若毕业于奎尔港大学。"
ABOUT_VELIN = "Mara Velin studied physics in Osterly. Mara Velin was born in 1952."


def ask(task: str, *passages: str, **options: Any) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(answer(build_messages(task, passages, **options)))
    return reply


def facts_of(passage: str) -> list[str]:
    return list(ask("facts", passage)["facts"])


@pytest.mark.parametrize("passage", [VELIN, TEA])
def test_every_listed_fact_gets_a_question_an_answer_a_verdict_and_is_covered(passage: str) -> None:
    facts = facts_of(passage)
    assert len(facts) >= 3
    asked = ask("simple_qa", passage, number=20, lists={"facts": facts})["questions"]
    assert sorted(n for question in asked for n in question["facts"]) == list(
        range(1, len(facts) + 1)
    )
    questions = [question["question"] for question in asked]
    answers = [
        a["answer"] for a in ask("answer", passage, lists={"questions": questions})["answers"]
    ]
    assert all(answer in passage for answer in answers)
    pairs = [f"{q} / {a}" for q, a in zip(questions, answers, strict=True)]
    verdicts = ask("verify", passage, kind="simple", lists={"pairs": pairs})["verdicts"]
    assert [verdict["correct"] for verdict in verdicts] == [True] * len(facts)
    coverage = ask("coverage", passage, lists={"facts": facts, "pairs": pairs})
    assert coverage == {"covered": list(range(1, len(facts) + 1)), "missing": []}
    coverage = ask("coverage", passage, lists={"facts": facts, "pairs": pairs[:1]})
    assert coverage["covered"] == asked[0]["facts"]


def test_questions_asked_or_set_aside_are_not_asked_again() -> None:
    facts = facts_of(VELIN)
    first, second, *rest = [
        question["question"]
        for question in ask("simple_qa", VELIN, number=20, lists={"facts": facts})["questions"]
    ]
    lists = {"facts": facts, "asked": [first], "set_aside": [f"{second} (not good)"]}
    again = ask("simple_qa", VELIN, number=20, lists=lists)["questions"]
    assert [question["question"] for question in again] == rest


@pytest.mark.parametrize(
    ("pair", "is_right"),
    [
        ("Who founded Tidewater Optics? / Mara Velin", True),
        ("Who founded Tidewater Optics? / Duskmoor", False),
        ("Who was it that founded Tidewater Optics? / Mara Velin", True),
        ("Who sold Tidewater Optics in 2020 to the bank? / Mara Velin", False),
        ("Who founded Tidewater Optics? / Mara Velin / in 1987", False),
        ("no pair at all", False),
    ],
)
def test_verdict_is_what_the_rules_find_themselves(pair: str, is_right: bool) -> None:
    (verdict,) = ask("verify", VELIN, kind="simple", lists={"pairs": [pair]})["verdicts"]
    assert verdict["correct"] is is_right
    assert bool(verdict["reason"]) is not is_right


def test_complex_question_names_both_of_its_facts() -> None:
    facts = facts_of(VELIN)
    asked = ask("complex_qa", VELIN, number=9, lists={"facts": facts})["questions"]
    by_question = {question["question"]: question["facts"] for question in asked}
    numbers = by_question["Where was the person who founded Tidewater Optics born?"]
    assert sorted(facts[n - 1] for n in numbers) == [
        "Where was Mara Velin born: Duskmoor", "Who founded Tidewater Optics: Mara Velin",
    ]  # fmt: skip
    assert all(len(set(question["facts"])) == 2 for question in asked)


def test_question_over_two_passages_needs_both() -> None:
    first, second = "Mara Velin founded Tidewater Optics in 1987.", ABOUT_VELIN
    asked = ask("joint_qa", first, second, number=9, lists={"shared": ["Mara Velin"]})["questions"]
    questions = [question["question"] for question in asked]
    assert "When was the person who founded Tidewater Optics born?" in questions
    said = ask("answer", first, second, lists={"questions": questions})["answers"]
    pairs = [f"{q} / {a['answer']}" for q, a in zip(questions, said, strict=True)]
    verdicts = ask("verify", first, second, kind="joint", lists={"pairs": pairs})["verdicts"]
    assert all(verdict["correct"] for verdict in verdicts)
    for alone in (first, second):
        found = ask("verify", alone, kind="complex", lists={"pairs": pairs})["verdicts"]
        assert not any(verdict["correct"] for verdict in found)


def test_passages_that_share_nothing_give_no_joint_question() -> None:
    assert ask("joint_qa", VELIN, TEA, number=9)["questions"] == []


@pytest.mark.parametrize(
    ("passage", "target", "expected"),
    [
        (TEA, "en", ("In which year was 云台茶园 founded?", "1987")),
        (TEA, "en", ("Who founded 云台茶园?", "林海若")),
        (TEA, "en", ("Which school did 林海若 graduate from?", "奎尔港大学")),
        (VELIN, "zh", ("谁创办了Tidewater Optics？", "Mara Velin")),
        (VELIN, "zh", ("Mara Velin出生在哪里？", "Duskmoor")),
    ],
)
def test_cross_lingual_question_keeps_names_and_numbers(
    passage: str, target: str, expected: tuple[str, str]
) -> None:
    asked = ask("cross_lingual", passage, number=9, language=target)["questions"]
    questions = [question["question"] for question in asked]
    said = ask("answer", passage, language=target, lists={"questions": questions})["answers"]
    pairs = list(zip(questions, (a["answer"] for a in said), strict=True))
    assert expected in pairs
    for question, told in pairs:
        assert fault_of_language(question, target) is None
        assert fault_of_pair(question, told, passage, verbatim=False) is None
    lines = {"pairs": [f"{q} / {a}" for q, a in pairs]}
    verdicts = ask("verify", passage, kind="cross_lingual", language=target, lists=lines)[
        "verdicts"
    ]
    assert all(verdict["correct"] for verdict in verdicts)


def test_what_rules_cannot_translate_gives_an_honest_empty_reply() -> None:
    assert ask("cross_lingual", "The harbour is deep. It rains.", number=4)["questions"] == []


@pytest.mark.parametrize("passage", [VELIN, TEA])
def test_unanswerable_question_names_the_passages_subject_and_has_no_answer(passage: str) -> None:
    (asked,) = ask("unanswerable", passage, number=1)["questions"]
    assert any(name in asked["question"] for name in ("Velin", "Tidewater", "云台茶园", "林海若"))
    assert fault_of_question(asked["question"]) is None
    (said,) = ask("answer", passage, lists={"questions": [asked["question"]]})["answers"]
    assert said["answer"] == ""


@pytest.mark.parametrize(
    ("paraphrase", "expected"),
    [
        ("Tidewater Optics, founded in 1987 by Mara Velin of Duskmoor, employs 85 people.", []),
        ("Tidewater Optics, founded in 1987 by Mara Velin of Duskmoor, employs people.", ["85"]),
    ],
)
def test_paraphrase_is_compared_fact_by_fact(paraphrase: str, expected: list[str]) -> None:
    facts = facts_of(VELIN)
    lists = {"facts": facts, "paraphrase": [paraphrase]}
    reply = ask("verify_paraphrase", VELIN, lists=lists)
    assert reply["agrees"]
    assert [facts[n - 1].rpartition(": ")[2] for n in reply["missing"]] == expected


def test_paraphrase_with_a_new_number_disagrees() -> None:
    reply = ask("verify_paraphrase", VELIN, lists={"paraphrase": [f"{VELIN} That is 40 years."]})
    assert not reply["agrees"]
    assert "40" in reply["reason"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [("Where was Mara Velin born?", "Duskmoor"), ("云台茶园由谁创办？", "林海若"), ("Why?", "")],
)
def test_teacher_finds_the_document_that_answers(question: str, expected: str) -> None:
    reply = ask("teach", ABOUT_VELIN, TEA, VELIN, lists={"questions": [question]})
    assert reply == {"answer": expected}
