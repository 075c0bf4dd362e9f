"""The page of answering costs: measured with the tiniest decoder, and told from made-up costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.inference import BEGIN, Measured, main, render

TOKENS, RATE, QUESTIONS, REPEATS, HIDDEN = 64, 16, 2, 2, 32
DOCUMENTS = (2, 5)


def table_rows(text: str) -> list[list[str]]:
    """Cells of all tables' lines, heads and rules left out."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.slow
def test_tiny_decoder_fills_the_page_with_sane_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLARA_SHARED", str(tmp_path))  # generated text, the same everywhere
    page, figures = tmp_path / "inference.md", tmp_path / "figures.json"
    page.write_text(f"# Costs\n\n{BEGIN}\n\nold\n\n<!-- measured: end -->\n\n## Reading\n")
    options = {"--shape": "tiny", "--tokens": TOKENS, "--rate": RATE, "--questions": QUESTIONS,
               "--answer": 4, "--repeats": REPEATS, "--device": "cpu", "--json": figures,
               "--markdown": page}  # fmt: skip
    given = [str(word) for pair in options.items() for word in pair]
    assert main([*given, "--documents", *map(str, DOCUMENTS)]) == 0

    measured = json.loads(figures.read_text())
    costs = {(count, name): cost for count, name, cost in measured["costs"]}
    assert set(costs) == {(count, name) for count in DOCUMENTS for name in ("text", "compressed")}
    for (count, name), cost in costs.items():
        assert (cost["questions"], cost["documents"]) == (QUESTIONS, count)
        own = TOKENS if name == "text" else TOKENS // RATE
        # Besides the documents there are the template, the question, and what parts documents.
        assert own * count < cost["tokens_read"] < own * count + 150
        for figure in ("first_token_s", "tokens_per_s", "questions_per_s"):
            assert 0 < cost[figure]["low"] <= cost[figure]["median"] <= cost[figure]["high"]
        assert cost["first_token_s"]["n"] == QUESTIONS * REPEATS
        assert cost["peak_bytes"] > 0
        assert (cost["compress_s"] is None) == (name == "text")
    for count in DOCUMENTS:
        memory = costs[count, "compressed"]
        assert memory["bytes_per_passage"] == TOKENS // RATE * HIDDEN * 4  # fp32
        assert memory["prompt_compression"] == pytest.approx(
            costs[count, "text"]["tokens_read"] / memory["tokens_read"]
        )
        assert measured["sooner"][str(count)]["median"] > 0

    text = page.read_text()
    assert text.startswith("# Costs")
    assert text.rstrip().endswith("## Reading")
    assert "old" not in text
    *answering, two, five = table_rows(text)
    assert [row[:2] for row in answering] == [
        ["2", "text"], ["2", "compressed"], ["5", "text"], ["5", "compressed"]
    ]  # fmt: skip
    assert (two[3:5], five[3]) == (["-", "-"], "3.3 x")
    assert five[4] in ("yes", "**no**")


@pytest.mark.parametrize(("sooner", "reached"), [(3.3, "yes"), (3.2, "**no**")])
def test_goal_and_pay_off_are_told_from_the_costs(sooner: float, reached: str) -> None:
    def cost(name: str, each: float, compress: float | None) -> dict[str, Any]:
        def spread(value: float) -> dict[str, float]:
            return {"median": value, "low": value, "high": value, "n": 4}

        return {
            "system": name, "questions": 4, "documents": 5.0, "tokens_read": 1000,
            "prompt_compression": 10.0 if compress else 1.0, "first_token_s": spread(0.1),
            "tokens_per_s": spread(50.0), "questions_per_s": spread(each), "peak_bytes": 2_000_000,
            "bytes_per_passage": 512.0, "compress_s": compress and spread(compress),
        }  # fmt: skip

    settings = {"shape": "tiny", "documents": [5], "tokens": 64, "rate": 16, "questions": 4,
                "answer": 4, "repeats": 1, "dtype": "fp32", "device": "cpu"}  # fmt: skip
    measured = Measured("command", "machine", 0.0, settings, [
        (5, "text", cost("text", 2.0, None)), (5, "compressed", cost("compressed", 10.0, 0.2)),
    ], {"5": {"median": sooner, "low": 3.0, "high": 4.0, "n": 4}})  # fmt: skip
    gains = table_rows(render(measured))[-1]
    # 0.2 s to compress one passage, and 0.5 - 0.1 s saved by every question.
    assert gains == ["5", "10.0 x", f"**{sooner} x** [3.0, 4.0]", "3.3 x", reached, "5.0 x", "1.0",
                     "0.5"]  # fmt: skip
