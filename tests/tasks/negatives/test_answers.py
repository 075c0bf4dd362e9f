from __future__ import annotations

import pytest

from tasks.negatives.answers import answer_test, is_closed, is_short, plain_answer, plain_text


def holds(passage: str, answer: str, question: str = "Who or what is it?") -> bool:
    return answer_test(question, answer)(plain_text(passage), passage)


@pytest.mark.parametrize(
    ("passage", "answer"),
    [
        ("It was built in 1911–1920 by hand.", "1911"),
        ("The Lantern  Bridge\nspans the bay.", "the lantern bridge."),
        ("It has 1,200 seats.", "1200 seats"),
        ("It has 1200 seats.", "1,200 seats"),
        ("云台茶园位于北山。", "北山"),
        ("云台 茶园，位于北山。", "云台茶园"),
        ("ＡＢＣ公司成立于１９９８年", "1998年"),
        ("서울은 크다", "서울"),
        ("Its colour is café-au-lait.", "Café au lait"),
    ],
)
def test_an_answer_is_found_through_case_signs_and_script(passage: str, answer: str) -> None:
    assert holds(passage, answer)


@pytest.mark.parametrize(
    ("passage", "answer"),
    [
        ("The harbourmaster came.", "harbour"),
        ("In 19115 parts.", "1911"),
        ("The bridge of lanterns.", "Lantern Bridge"),
        ("灯笼桥", "桥灯"),
    ],
)
def test_parts_of_words_and_numbers_are_no_answer(passage: str, answer: str) -> None:
    assert not holds(passage, answer)


@pytest.mark.parametrize("answer", ["Yes.", "no", "Not stated", "是的。", "没有", "", "?!"])
def test_closed_answers_are_held_by_no_passage(answer: str) -> None:
    assert is_closed(answer)
    assert not holds(f"Yes, no, not stated, 是的, 没有 {answer}", answer)


@pytest.mark.parametrize(
    ("answer", "short"),
    [("7", True), ("42", True), ("a B", True), ("茶", True), ("北山", False), ("142", False)],
)
def test_short_answers_are_one_sign_or_two_letters(answer: str, short: bool) -> None:
    assert is_short(answer) is short


def test_short_answer_counts_only_beside_half_of_the_question() -> None:
    question = "How many arches has Lantern Bridge?"  # six terms
    assert holds("Lantern Bridge has 7 arches.", "7", question)  # shares four
    assert not holds("The ferry has 7 decks.", "7", question)  # shares one
    assert not holds("Lantern Bridge has many arches.", "7", question)


def test_leading_articles_of_an_answer_do_not_matter() -> None:
    assert plain_answer("The Auk") == " auk "
    assert plain_answer("A") == " a "
