"""Four public benchmarks' samples from end to end, with models that were trained for seconds."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from small_pipeline import Pipeline
from tasks.storage import read_records

pytestmark = pytest.mark.slow

NAMES = {"hotpotqa", "2wikimultihopqa", "musique", "nq"}
SYSTEMS = ("clara_stage1", "clara_stage2", "clara_stage3", "closed-book_base", "bm25_text_base")
QUESTIONS = 3


def command(shared: Path, *systems: str) -> list[str]:
    files = sorted(str(path) for path in (shared / "benchmarks").glob("*.jsonl"))
    return [
        "evaluate", *systems, "--systems", "closed-book,bm25+text", "--benchmarks",
        ",".join(files), "--settings", "normal,oracle", "--questions", str(QUESTIONS),
        "--k", "2", "--name", "samples",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def pipeline(finished: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return finished.copy(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def evaluated(pipeline: Pipeline, shared: Path) -> Path:
    pipeline.clara(*command(shared, "stage1", "stage2", "stage3"))
    return pipeline.workspace / "evaluations" / "samples"


def test_every_system_answers_every_sample_in_both_settings(evaluated: Path) -> None:
    summary = json.loads((evaluated / "summary.json").read_text())
    asked = {(r["benchmark"], r["setting"], r["system"]) for r in summary["scores"]}
    assert asked == {
        (name, setting, system)
        for name in NAMES for setting in ("normal", "oracle") for system in SYSTEMS
    }  # fmt: skip
    for name in NAMES:
        for system in SYSTEMS:
            rows = read_records(evaluated / "predictions" / f"{name}.oracle.{system}.jsonl")
            assert len(rows) == QUESTIONS
            assert all("answer" in row for row in rows)


def test_oracle_has_all_golds_and_official_metrics_lead(evaluated: Path) -> None:
    summary = json.loads((evaluated / "summary.json").read_text())
    leads = {b["name"]: b["lead"] for b in summary["benchmarks"]}
    assert leads == {"hotpotqa": "hotpot.em", "2wikimultihopqa": "2wiki.em",
                     "musique": "musique.f1", "nq": "orqa_nq.em"}  # fmt: skip
    for place in summary["benchmarks"]:
        if place["setting"] == "oracle":
            assert place["audit"]["all_present"] == place["audit"]["with_golds"] == QUESTIONS
        assert place["candidates"]["most"] == 20


def test_page_and_mlflow_hold_every_result(pipeline: Pipeline, evaluated: Path) -> None:
    page = (evaluated / "report.html").read_text()
    assert page.count("not measured here") >= len(NAMES)
    assert "Small decoders" in page
    with sqlite3.connect(pipeline.workspace / "mlflow.db") as database:
        results = database.execute(
            "select count(*) from params p join tags t using (run_uuid) where t.key = 'clara.kind' "
            "and t.value = 'result' and p.key = 'pool' and p.value in (?, ?, ?, ?)", tuple(NAMES),
        ).fetchone()  # fmt: skip
        recalls = database.execute(
            "select count(*) from metrics where key = 'recall_at_1'"
        ).fetchone()
    assert results == (len(NAMES) * 2 * len(SYSTEMS),)
    assert recalls[0] >= len(NAMES) * 2


def test_a_second_evaluation_writes_equal_files(
    pipeline: Pipeline, shared: Path, evaluated: Path
) -> None:
    kept = {p.name: p.read_bytes() for p in (evaluated / "predictions").iterdir()}
    shutil.rmtree(evaluated / "predictions")
    pipeline.clara(*command(shared, "stage1", "stage2", "stage3"))
    for name, content in kept.items():
        assert (evaluated / "predictions" / name).read_bytes() == content


def test_report_is_rebuilt_from_what_is_stored(pipeline: Pipeline, evaluated: Path) -> None:
    before = (evaluated / "report.html").read_bytes()
    (evaluated / "summary.json").unlink()
    (evaluated / "report.html").unlink()
    pipeline.clara("report", "--name", "samples")
    assert (evaluated / "report.html").read_bytes() == before


def test_the_pipelines_own_evaluation_stays_done(pipeline: Pipeline, evaluated: Path) -> None:
    own = pipeline.workspace / "evaluation" / "summary.json"
    before = own.stat().st_mtime_ns
    assert "Everything is up to date." in pipeline.clara("run")
    assert own.stat().st_mtime_ns == before
