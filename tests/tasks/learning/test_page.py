"""From single answers to the page: intervals, verdicts, and a table without invented numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from configs.learning import LearningConfig
from tasks.learning.figures import Curve, draw_curves
from tasks.learning.intervals import mean_interval, ratio_interval
from tasks.learning.learn import summary_metrics
from tasks.learning.page import read_curves, smooth, write_page
from tasks.learning.plan import plan_jobs
from tasks.learning.summary import covered, summarise

GROUPS = [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
ABLATION = {
    "title": "random start", "source": "Table 14", "paper": "66.84 against 70.91",
    "direction": "lower", "metric": "stage3.recall@1", "change": {"stage3.query_init": "random"},
    "note": "Seen at once.",
}  # fmt: skip


def rights(count: int) -> list[float]:
    return [1.0] * count + [0.0] * (20 - count)


def config(tmp_path: Path) -> LearningConfig:
    stage = {"steps": 2, "batch_size": 4}
    return LearningConfig.model_validate(
        {
            "workspace": tmp_path, "seeds": [0, 1], "rates": [8, 16], "stage1": stage,
            "stage1_steps_at": {16: 5},
            "stage3": stage, "five_docs": stage, "ablations": {"random": ABLATION},
            "notes": ["Five documents are too many."],
            "questions": {"count": 20, "bootstrap_samples": 200},
        }
    )  # fmt: skip


def made_up_results(plan: Any) -> dict[str, Any]:
    """Seed 0: all right in text and at rate 8; seed 1: a little less. Rate 16 is not done."""
    results = {}
    for job in plan.jobs.values():
        if "stage1-r16" in job.name:
            continue
        seed = int(job.name[4])
        scores: dict[str, list[float]] = {"em": rights(20 - seed)}
        name = job.name.partition("/")[2]
        if name == "score-reader":
            scores |= {"gold_text": rights(20 - seed), "closed_book": rights(0)}
        recall = 5 if "random" in name else 1 if "control" in name else 19
        scores |= {"recall@1": rights(recall), "before.recall@1": rights(8)}
        scores |= {"recall@5": rights(18), "bm25.recall@5": rights(6), "mrr": rights(19)}
        several = {"text": rights(16), "random": [0.4] * 20, "em": rights(7)}
        sets = {
            name: {"groups": GROUPS, "scores": own}
            for name, own in (("name", scores), ("alias", scores), ("several", several))
        }
        results[job.name] = {
            "key": job.key, "kind": job.kind, "sets": sets, "counts": {"parameters": 940_000},
            "started": 60.0, "ended": 180.0,
            "machine": {"processor": "Imaginary 9000", "cores": 2},
        }  # fmt: skip
    return results


@pytest.fixture
def summary(tmp_path: Path) -> dict[str, Any]:
    settings = config(tmp_path)
    plan = plan_jobs(settings)
    return summarise(settings, plan, made_up_results(plan))


def target(summary: dict[str, Any], words: str) -> dict[str, Any]:
    return next(row for row in summary["targets"] if words in row["what"])


def test_targets_are_means_over_all_seeds_and_told_as_met_or_not(summary: dict[str, Any]) -> None:
    reader = target(summary, "gold document in text")
    assert reader["seeds"] == [1.0, 0.95]
    assert reader["interval"]["value"] == pytest.approx(0.975)
    assert reader["interval"]["n"] == 40
    assert reader["met"] is True
    assert target(summary, "Five documents, one right: EM compressed")["met"] is False
    assert target(summary, "Five documents, one right: EM in text")["met"] is True
    assert target(summary, "By name, answers shuffled")["met"] is True
    assert target(summary, "rate 16")["interval"] is None
    assert target(summary, "rate 16")["met"] is None
    assert target(summary, "for comparison")["met"] is None


def test_differences_and_ratios_are_of_the_same_questions(summary: dict[str, Any]) -> None:
    alias = target(summary, "by alias")
    assert alias["interval"]["value"] == pytest.approx(12 / 20)
    assert alias["met"] is True
    share = target(summary, "as a share")
    assert share["interval"]["value"] == pytest.approx(1.0)
    assert share["seeds"] == [1.0, 1.0]


def test_an_ablation_says_whether_it_goes_the_papers_way(summary: dict[str, Any]) -> None:
    (row,) = summary["ablations"]
    assert row["reference"]["value"] == pytest.approx(0.95)
    assert row["variant"]["value"] == pytest.approx(0.25)
    assert row["difference"]["value"] == pytest.approx(-0.7)
    assert row["difference"]["n"] == 20  # the first seed only
    assert row["verdict"] == "agrees"


def test_a_difference_that_may_be_none_is_not_called_one(tmp_path: Path) -> None:
    settings = config(tmp_path)
    plan = plan_jobs(settings)
    results = made_up_results(plan)
    changed = results[plan.ablations[0, "random"][1]]["sets"]["name"]["scores"]
    changed["recall@1"] = [*rights(19)[1:], 1.0]  # one question lost, one won
    (row,) = summarise(settings, plan, results)["ablations"]
    assert row["verdict"] == "no difference to be seen"


def test_a_seed_that_is_missing_leaves_a_gap_instead_of_a_mean_over_fewer(tmp_path: Path) -> None:
    settings = config(tmp_path)
    plan = plan_jobs(settings)
    results = made_up_results(plan)
    del results["seed1/score-reader"]
    assert target(summarise(settings, plan, results), "in text")["interval"] is None


def test_the_page_tells_numbers_gaps_and_the_machine(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    settings = config(tmp_path)
    log = tmp_path / "seed0" / "stage3" / "logs" / "metrics.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f'{{"step": {i}, "recall_at_1": 0.5}}\n' for i in range(1, 9)))
    curves = read_curves(settings, plan_jobs(settings), tmp_path)
    page = tmp_path / "docs" / "learning.md"
    written = write_page(page, settings, summary, curves, "clara learn some.yaml")
    text = page.read_text()
    assert "`clara learn some.yaml`" in text
    assert "| 0.975 [" in text
    assert "**not met**" in text
    assert "not run" in text
    assert "Imaginary 9000, 2 cores" in text
    assert "2.0 minutes in all" in text
    assert "940,000 parameters" in text
    assert "Table 14: 66.84 against 70.91" in text
    assert "agrees. Seen at once. |" in text
    assert "- Five documents are too many." in text
    assert "| 8 | 8 | 2 |" in text  # rate, vectors, steps
    assert "| 16 | 4 | 5 |" in text
    assert "were not trained as long" in text
    assert [path.name for path in written] == ["learning.md", "rates.svg", "stage3.svg"]
    assert "](learning/rates.svg)" in text
    assert "learning/reader.svg" not in text


def test_a_table_has_as_many_cells_in_every_line(summary: dict[str, Any], tmp_path: Path) -> None:
    settings = config(tmp_path)
    curves = read_curves(settings, plan_jobs(settings), tmp_path)
    write_page(tmp_path / "learning.md", settings, summary, curves, "clara learn")
    columns = None
    for line in (tmp_path / "learning.md").read_text().splitlines():
        if not line.startswith("|"):
            columns = None
            continue
        columns = columns or line.count("|")
        assert line.count("|") == columns, line


def test_what_a_seed_reached_has_names_for_mlflow(summary: dict[str, Any]) -> None:
    metrics = summary_metrics(summary, 1)
    assert metrics["1 Reader: EM with the gold document in text"] == pytest.approx(0.95)
    assert "stage 1 EM at rate 16" not in metrics
    assert all(isinstance(value, float) for value in metrics.values())


def test_questions_of_one_crowd_are_drawn_together() -> None:
    # Whole crowds right or wrong: as wide as four values, not as twenty.
    values = [1.0] * 10 + [0.0] * 10
    together = mean_interval(values, GROUPS, 500)
    single = mean_interval(values, list(range(20)), 500)
    assert together["value"] == single["value"] == 0.5
    assert together["n"] == 20
    assert together["high"] - together["low"] > 1.5 * (single["high"] - single["low"])


def test_a_ratio_over_nothing_is_none() -> None:
    assert ratio_interval([1.0, 0.0], [0.0, 0.0], [0, 1], 50) is None
    half = ratio_interval([1.0, 0.0] * 4, [1.0, 1.0] * 4, [0, 0, 1, 1, 2, 2, 3, 3], 50)
    assert half == {"n": 8, "value": 0.5, "low": 0.5, "high": 0.5}


def test_time_of_jobs_side_by_side_counts_once() -> None:
    assert covered([(0, 10), (5, 15), (20, 30), (21, 22)]) == 25
    assert covered([]) == 0


def test_a_curve_is_smoothed_to_few_points() -> None:
    points = smooth([(float(i), float(i % 2)) for i in range(1, 401)])
    assert len(points) == 40
    assert points[0] == (5.5, 0.5)


def test_a_figure_is_whole_for_light_and_dark_pages() -> None:
    curves = [Curve("rate <4>", [(4, 0.9), (32, 0.1)], [(0.8, 1.0), (0.0, 0.2)]),
              Curve("rate 8", [(4, 0.5), (32, 0.4)])]  # fmt: skip
    text = draw_curves(
        curves, title="A & B", x_label="rate", y_label="EM", top=1.0, x_ticks=(4, 32)
    )
    root = ElementTree.fromstring(text)
    assert root.get("aria-label") == "A & B"
    assert "prefers-color-scheme:dark" in text
    lines = root.findall(".//{http://www.w3.org/2000/svg}polyline")
    first, last = (tuple(map(float, p.split(","))) for p in lines[0].get("points", "").split())
    assert first[0] < last[0]
    assert first[1] < last[1]  # a higher value stands higher
