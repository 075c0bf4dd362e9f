from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.rows.documents import digest, is_cut, judge_document, keep_documents, trim_to_sentences


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("The tower of Osterly was built in 1911.", None),
        ("He asked: “Who built the tower of Osterly?”", None),
        ("茶园位于北山，茶树种于清代。", None),
        ("The tower was built in 1911 and the ferry to Norrin leaves every", "cut"),
        ("The tower was built by the", "cut"),
        ("The tower was built in 1911,", "cut"),
        ("nd the ferry leaves at seven every morning.", "cut"),
        ("茶园位于北山，茶树种于清代，春天采茶，夏天晒茶，秋天", "cut"),
        ("The tower was built in 1911. The ferr\ufffd", "broken"),
        ("# Towers of the northern isles and their long and varied history", None),
        ("Prices\n| tea | price of a hundred grams in crowns | year of the harvest |", None),
        ("Stations:\n- Osterly, on the eastern shore of the largest island of all", None),
        ("Auk Tidal Power: Annual Report", None),
        ("Too short.", "short"),
        (" ... ", "empty"),
    ],
)
def test_a_document_is_judged_by_its_text(text: str, fault: str | None) -> None:
    assert judge_document(text) == fault


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("It was built in 1911. The ferry leaves every", "It was built in 1911."),
        ("Heading\nIt stands. The ferry to Norrin leaves the quay of the", "Heading\nIt stands."),
        ("of the isles. It was built in 1911.", "It was built in 1911."),
        ("茶园位于北山。茶树种于清代，春天采茶，夏天晒茶，秋天制", "茶园位于北山。"),
        ("The ferry to Norrin leaves the northern quay every", ""),
        ("It was built in 1911.", "It was built in 1911."),
    ],
)
def test_torn_sentences_are_trimmed_away(text: str, whole: str) -> None:
    assert trim_to_sentences(text) == whole


@settings(deadline=None)
@given(st.text(alphabet="aB ,.\n-的。", max_size=60))
def test_what_is_trimmed_is_whole(text: str) -> None:
    trimmed = trim_to_sentences(text)
    assert trim_to_sentences(trimmed) == trimmed
    assert len(trimmed) <= len(text)


def test_positions_and_names_follow_the_documents_that_stay() -> None:
    row = {"docs": ["a", "b", "c"], "doc_ids": ["1", "2", "3"], "pos_index": [2, 0], "kinds": ["x"]}
    keep_documents(row, [1, 2])
    assert row == {"docs": ["b", "c"], "doc_ids": ["2", "3"], "pos_index": [1], "kinds": ["x"]}


def test_digests_tell_texts_apart_and_survive_broken_ones() -> None:
    assert digest("a") == digest("a") != digest("b")
    assert isinstance(digest("\ud800"), int)
    assert not is_cut("")
