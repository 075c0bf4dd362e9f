"""Every given case, computed with the official scripts, must come out."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from clara_model.evaluation.metrics import score


@pytest.fixture(scope="module")
def cases(shared: Path) -> dict[str, list[dict]]:
    by_family = defaultdict(list)
    with (shared / "metrics" / "metric_cases.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            by_family[case["metric"].partition(".")[0]].append(case)
    return by_family


@pytest.mark.parametrize(
    "family",
    ["hotpot", "2wiki", "musique", "squad1", "squad2", "dpr", "orqa_nq", "kilt", "bergen",
     "flashrag", "pisco", "clara", "cmrc2018"],
)  # fmt: skip
def test_family_agrees_with_its_official_script(cases: dict[str, list[dict]], family: str) -> None:
    assert cases[family]
    wrong = [
        case["id"]
        for case in cases[family]
        if abs(score(case["metric"], case["prediction"], case["golds"]) - case["expected"]) > 1e-9
    ]
    assert wrong == []


def test_no_family_of_the_cases_is_left_out(cases: dict[str, list[dict]]) -> None:
    assert len(cases) == 13
