"""Repeated questions: by words and by vectors, across kinds and passages."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.synthesis import duplicates
from tasks.synthesis.duplicates import drop_repeated, find_close


def row(name, source="a.md", **kinds):
    empty = {kind: [] for kind in duplicates.KINDS}
    pairs = {
        kind: [{"question": q, "answer": "x", "language": "en"} for q in questions]
        for kind, questions in kinds.items()
    }
    return {"passage_id": name, "source": source} | empty | pairs


def asked(rows):
    return [[pair["question"] for kind in duplicates.KINDS for pair in r[kind]] for r in rows]


# Directions of meaning: the second is near the first (cosine 0.98), the third far from both.
MEANING = {
    "Who built it?": (1.0, 0.0), "Who was its builder?": (0.98, 0.199), "When?": (0.0, 1.0),
}  # fmt: skip


def embed(questions):
    return np.array([MEANING[question] for question in questions])


def test_question_in_the_same_words_stays_with_the_first_passage():
    rows = [row("a", simple=["Who built it?"]), row("b", simple=["who BUILT it？", "When?"])]
    rejects = drop_repeated(rows, "synthesize")
    assert asked(rows) == [["Who built it?"], ["When?"]]
    assert [(r.step, r.item, r.reason) for r in rejects] == [
        ("synthesize", "b simple", "asked before: who BUILT it？")
    ]


def test_what_another_passage_answers_is_not_unanswerable():
    rows = [row("a", unanswerable=["Who built it?"]), row("b", complex=["Who built it?"])]
    rejects = drop_repeated(rows, "synthesize")
    assert asked(rows) == [[], ["Who built it?"]]
    assert rejects[0].item == "a unanswerable"


def test_question_of_the_same_meaning_is_dropped_above_the_limit():
    def pair():
        return [
            row("a", simple=["Who built it?", "When?"]),
            row("b", joint=["Who was its builder?"]),
        ]

    rows = pair()
    rejects = drop_repeated(rows, "synthesize", embed=embed, max_similarity=0.95)
    assert asked(rows) == [["Who built it?", "When?"], []]
    assert rejects[0].reason == (
        "asked before in other words (Who built it?): Who was its builder?"
    )
    rows = pair()
    assert drop_repeated(rows, "synthesize", embed=embed, max_similarity=0.99) == []


def test_languages_are_not_compared_with_each_other():
    rows = [row("a", simple=["Who built it?"]), row("b", cross_lingual=["Who was its builder?"])]
    rows[1]["cross_lingual"][0]["language"] = "zh"
    assert drop_repeated(rows, "synthesize", embed=embed, max_similarity=0.95) == []


def test_very_many_questions_are_compared_within_their_document(monkeypatch):
    monkeypatch.setattr(duplicates, "_MOST_COMPARED", 2)
    rows = [
        row("a", simple=["Who built it?"]), row("b", "b.md", simple=["Who was its builder?"]),
        row("c", simple=["When?"]),
    ]  # fmt: skip
    assert drop_repeated(rows, "synthesize", embed=embed, max_similarity=0.95) == []


def test_dropped_question_drops_no_other():
    """0, 15 and 30 degrees: each is close to its neighbour, the first and the last are not."""
    angles = np.deg2rad([0, 15, 30])
    vectors = 3.0 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert find_close(vectors, 0.95) == {1: 0}


@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_blocks_change_nothing(monkeypatch, block):
    vectors = np.random.default_rng(0).normal(size=(40, 3))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    kept, expected = [], {}
    for i in range(len(unit)):
        near = [j for j in kept if unit[i] @ unit[j] > 0.9]
        expected |= {i: near[0]} if near else {}
        kept += [] if near else [i]
    monkeypatch.setattr(duplicates, "_BLOCK", block)
    assert find_close(vectors, 0.9) == expected
