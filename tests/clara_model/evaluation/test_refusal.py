"""Which answers say that there is none."""

from __future__ import annotations

import pytest

from clara_model.evaluation.metrics import score
from clara_model.evaluation.metrics.refusal import is_refusal


@pytest.mark.parametrize(
    "answer",
    [
        "The documents do not say.", "Not mentioned in the documents", "I don't know.", "unknown",
        "It CANNOT be answered from this.", "文档中没有说明。", "文中并未提及此事", "不知道", "N/A",
    ],
)  # fmt: skip
def test_usual_wordings_are_refusals(answer: str) -> None:
    assert is_refusal(answer)
    assert score("open.refusal", answer, []) == 1.0


@pytest.mark.parametrize(
    "answer",
    ["", "  ", "Paris", "the Unknown Soldier", "He did say no.", "无锡", "1874", "None Such"],
)
def test_answers_and_empty_ones_are_none(answer: str) -> None:
    assert not is_refusal(answer)


def test_a_configured_wording_counts_as_well() -> None:
    assert not is_refusal("Keine Angabe.")
    assert score("open.refusal", "Keine Angabe.", ["keine angabe"]) == 1.0
    assert not is_refusal("Paris", [""])
