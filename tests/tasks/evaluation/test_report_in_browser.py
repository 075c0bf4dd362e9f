"""The report as a browser shows it, of stored predictions that no model had to make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chromium import look_at
from stored_evaluation import stored_evaluation

from configs.schema import PipelineConfig
from tasks.evaluation.evaluate import rescore
from tasks.evaluation.report import write_report
from tasks.workspace import Workspace


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config, workspace = stored_evaluation(tmp_path_factory.mktemp("stored"))
    rescore(config, workspace)
    return write_report(config, workspace)


@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_its_window_without_errors(page: Path, tmp_path: Path, width: int) -> None:
    looked = look_at(page, tmp_path, width=width)
    assert looked["width"] == width
    assert looked["errors"] == []
    assert looked["console"] == []
    assert looked["scrollWidth"] <= looked["width"], looked["wide"]
    assert looked["wide"] == []
    assert looked["charts"] >= 5
    assert looked["headings"] == [
        "Leaderboard", "Rate against quality", "HotpotQA", "What comes back from a memory",
        "Cost and speed", "What this does not show",
    ]  # fmt: skip


def test_dark_mode_has_light_ink_on_dark_paper(page: Path, tmp_path: Path) -> None:
    def brightness(colour: str) -> int:
        return sum(int(part) for part in colour[4:-1].split(","))

    dark = look_at(page, tmp_path, width=390, dark=True)
    assert brightness(dark["paper"]) < 150 < 500 < brightness(dark["ink"])


def test_page_says_what_matters(page: Path) -> None:
    text = page.read_text()
    # HotpotQA, oracle: Table 5, rate 4; and that it is theirs.
    assert "0.738" in text
    assert "not measured here" in text
    assert "n = 40 questions, N = 4 candidates each, k = 2; pool: hotpotqa, 90 passages" in text
    assert text.count("no difference shown") >= 1
    assert "first is higher" in text
    for outside in ("http://", "https://", "<script", "<link", "@import", "url("):
        assert outside not in text


def test_page_shows_passages_beside_what_came_back(page: Path, tmp_path: Path) -> None:
    config, workspace = stored_evaluation(tmp_path)
    rows = {row["system"]: row for row in rescore(config, workspace)["reconstruction"]}
    metrics = rows["clara_r4"]["metrics"]
    # Half of the passages whole; of the others 5 of 11 words: precision 1, recall 5/11.
    assert metrics["reconstruction.rouge1"]["value"] == pytest.approx((1 + 10 / 16) / 2)
    assert metrics["reconstruction.numbers"]["value"] == pytest.approx((1 + 1 / 2) / 2)
    # The floor: another mill's passage holds neither of the numbers, and nine of the eleven words.
    assert rows["another"]["metrics"]["reconstruction.numbers"]["value"] == 0.0
    assert rows["another"]["metrics"]["reconstruction.rouge1"]["value"] == pytest.approx(
        9 / 11, abs=1e-4
    )
    # Four passages: no test can tell that from chance (p is at least 1 in 8), and the page says so.
    assert not rows["clara_r4"]["above_floor"]["shown"]
    text = page.read_text()
    assert "Mill 1 by the Old Bridge ground 101 sacks of barley" in text
    assert "ROUGE-L 0.62" in text
    assert "gold passages of its questions, drawn by hash: n = 4" in text


def test_tables_of_costs_and_reconstruction_state_pool_n_and_k(page: Path) -> None:
    text = " ".join(page.read_text().split())
    assert (
        "timed: n = 8 questions, 2.0 documents each, on CPU (made up); N = 4 candidates each, "
        "k = 2; pool: hotpotqa, 90 passages"
    ) in text
    # Question i has the passages of rivers i and i + 2 for golds: 0 to 41.
    assert (
        "drawn by hash: n = 4 of 42; each is written from its own memory alone: N = k = 1" in text
    )


def test_scoring_again_gives_the_same_files(tmp_path: Path) -> None:
    config, workspace = stored_evaluation(tmp_path)
    rescore(config, workspace)
    first = write_report(config, workspace).read_bytes()
    summary = (tmp_path / "evaluations/compared/summary.json").read_bytes()
    rescore(config, workspace)
    assert write_report(config, workspace).read_bytes() == first
    assert (tmp_path / "evaluations/compared/summary.json").read_bytes() == summary


def test_cost_table_says_when_compressing_has_paid_off(tmp_path: Path) -> None:
    config, workspace = stored_evaluation(tmp_path)
    costs = {cost["system"]: cost for cost in rescore(config, workspace)["costs"]}
    # Two passages at 0.05 s each, saved again at 0.5 - 0.25 s a question.
    assert costs["clara_r4"]["pays_off_after"] == pytest.approx(0.4)
    assert costs["clara_r4"]["prompt_compression"] == pytest.approx(600 / 150)
    assert costs["text_base"]["pays_off_after"] is None


def test_missing_evaluation_is_named_with_its_command(tmp_path: Path) -> None:
    from clara_model.errors import DataError

    with pytest.raises(DataError, match=r"index\.json.*clara evaluate"):
        rescore(PipelineConfig(workspace=tmp_path), Workspace(tmp_path))


def test_judgements_become_scores_where_they_fit_the_predictions(tmp_path: Path) -> None:
    config, workspace = stored_evaluation(tmp_path)
    folder = tmp_path / "evaluations" / "compared"
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**index, "judged": True}))
    place = folder / "judged" / "hotpotqa.oracle.clara_r4.jsonl"
    place.parent.mkdir()
    key = next(j["key"] for j in index["jobs"] if j["system"] == "clara_r4")
    rows = [{"key": key, "scores": {"judge.correct": float(i < 10)}} for i in range(40)]
    place.write_text("\n".join(map(json.dumps, rows)))
    scores = rescore(config, workspace)["scores"]
    row = next(r for r in scores if (r["setting"], r["system"]) == ("oracle", "clara_r4"))
    assert row["metrics"]["judge.correct"]["value"] == 0.25
