"""Two rates from one set of rows: `clara run` on a configuration with a sweep."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
import yaml

from small_pipeline import Pipeline
from tasks.sweep import SHARED_STEPS

pytestmark = pytest.mark.slow

LABELS = ("compr_rate=8", "compr_rate=16")
MODEL_STEPS = {"stage1", "stage2", "stage3", "index", "evaluate", "report"}


@pytest.fixture(scope="module")
def swept(documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A sweep over two rates that has run to its end; its output is kept."""
    pipeline = Pipeline(tmp_path_factory.mktemp("swept"), documents)
    settings = yaml.safe_load(pipeline.config.read_text())
    settings["sweep"] = {"key": "model.compr_rate", "values": [8, 16]}
    pipeline.config.write_text(yaml.safe_dump(settings))
    (pipeline.folder / "output.txt").write_text(pipeline.clara("run"))
    return pipeline


def finished_steps(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "manifests").glob("[!.]*.json")}


def test_every_value_has_models_of_its_own_and_shares_the_rest(swept: Pipeline) -> None:
    assert finished_steps(swept.workspace) == set(SHARED_STEPS)
    for label, rate in zip(LABELS, (8, 16), strict=True):
        variant = swept.workspace / "variants" / label
        assert finished_steps(variant) == set(SHARED_STEPS) | MODEL_STEPS
        model = json.loads((variant / "models/stage3/config.json").read_text())
        assert model["compr_rate"] == rate
        assert (variant / "models/base").samefile(swept.workspace / "models/base")
        assert (variant / "pretrain_data.jsonl").samefile(swept.workspace / "pretrain_data.jsonl")
        assert (variant / "logs/stage1/metrics.jsonl").is_file()


def test_one_table_and_one_page_compare_the_values(swept: Pipeline) -> None:
    output = (swept.folder / "output.txt").read_text()
    assert "model.compr_rate" in output
    assert "sweep.html" in output
    assert "Traceback" not in output
    sweep = json.loads((swept.workspace / "sweep.json").read_text())
    assert [variant["value"] for variant in sweep["variants"]] == [8, 16]
    assert [variant["model"]["memory_tokens"] for variant in sweep["variants"]] == [8, 4]
    assert sweep["missing"] == []
    assert {row["against"] for row in sweep["comparisons"]} == {LABELS[0]}
    page = (swept.workspace / "sweep.html").read_text()
    assert page.count("<svg") >= 2


def test_mlflow_tells_the_runs_of_the_values_apart(swept: Pipeline) -> None:
    with sqlite3.connect(swept.workspace / "mlflow.db") as database:
        tagged = database.execute(
            "select t.value, k.value from tags t join tags k using (run_uuid) "
            "where t.key = 'clara.sweep' and k.key = 'clara.kind'"
        ).fetchall()
    for label in LABELS:
        assert tagged.count((label, "pipeline")) == 1
        assert tagged.count((label, "step")) == len(MODEL_STEPS)


def test_a_second_run_has_nothing_to_do(swept: Pipeline) -> None:
    assert "Everything is up to date." in swept.clara("run")


def test_evaluate_asks_for_the_same_sweep_by_an_option(swept: Pipeline) -> None:
    output = swept.clara("evaluate", "--sweep", "compr_rate=8,16")
    assert "Everything is up to date." in output
    assert "sweep.html" in output


def test_a_variant_is_an_ordinary_workspace(swept: Pipeline) -> None:
    variant = swept.workspace / "variants" / LABELS[1]
    output = swept.clara(
        "ask", "Who founded it?", "--json",
        "--set", f"workspace={json.dumps(str(variant))}", "--set", "model.compr_rate=16",
    )  # fmt: skip
    assert json.loads(output.strip().splitlines()[-1])["citations"]


def test_only_what_is_missing_is_made_again(swept: Pipeline) -> None:
    lost = swept.workspace / "variants" / LABELS[0] / "manifests" / "evaluate.json"
    kept = swept.workspace / "variants" / LABELS[1] / "manifests" / "stage3.json"
    before = kept.stat().st_mtime_ns
    lost.unlink()
    swept.clara("run")
    assert lost.is_file()
    assert kept.stat().st_mtime_ns == before
