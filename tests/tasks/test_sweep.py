"""What variants of a sweep share, and how their scores are told."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import pytest
from stored_evaluation import QUESTIONS, stored_evaluation

from clara_model.errors import ConfigError
from configs.schema import PipelineConfig
from tasks.evaluation.evaluate import rescore
from tasks.evaluation.names import NAMES
from tasks.evaluation.sweep import tabulate, verdicts, write_sweep
from tasks.manifests import Step, is_current, run_step
from tasks.plan import build_plan
from tasks.storage import StepResult, read_records, write_jsonl
from tasks.sweep import forget_results, link_shared, list_variants
from tasks.workspace import Workspace


def sweep_over(root: Path, key: str, *values: object) -> PipelineConfig:
    return PipelineConfig.model_validate(
        {"workspace": str(root), "sweep": {"key": key, "values": list(values)}}
    )


def made(workspace: Workspace, config: PipelineConfig, names: tuple[str, ...]) -> None:
    """Run steps that only write their outputs."""

    def write(step: Step) -> StepResult:
        for path in step.outputs:
            if path.suffix:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{step.name}\n")
            else:
                path.mkdir(parents=True, exist_ok=True)
                (path / "file.txt").write_text(step.name)
        return StepResult({})

    for name in names:
        step = build_plan(config, workspace)[name]
        for path in step.inputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.mkdir() if not path.suffix else path.touch()
        run_step(step, workspace, lambda step=step: write(step))


@pytest.fixture
def parent(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "sweep")


def test_overrides_turn_the_configuration_into_the_variants(parent: Workspace) -> None:
    config = sweep_over(parent.root, "model.compr_rate", 4, 16)
    first, second = list_variants(config, parent)
    assert (first.label, second.label) == ("compr_rate=4", "compr_rate=16")
    assert second.workspace.root == parent.root / "variants" / "compr_rate=16"
    assert second.overrides[:2] == ("model.compr_rate=16", "sweep.values=[16]")
    assert f'workspace="{second.workspace.root}"' in second.overrides
    # All runs in one place, so that they can be compared.
    assert any(o.startswith('tracking.uri="sqlite:///') and "variants" not in o
               for o in second.overrides)  # fmt: skip


def test_shared_steps_are_done_in_a_variant_and_follow_the_originals(parent: Workspace) -> None:
    config = sweep_over(parent.root, "model.compr_rate", 4)
    made(parent, config, ("passages", "base"))
    (variant,) = list_variants(config, parent)
    link_shared(config, parent, variant)
    plan = build_plan(config.variant(4), variant.workspace)
    assert all(is_current(plan[name], variant.workspace) for name in ("passages", "base"))
    assert (variant.workspace.models / "base" / "file.txt").read_text() == "base"
    parent.passages.write_text("changed\n")
    assert not is_current(plan["passages"], variant.workspace)
    assert variant.workspace.passages.read_text() == "changed\n"
    assert (variant.workspace.manifests / "base.json").samefile(parent.manifests / "base.json")


def test_links_are_put_back_where_a_variant_wrote_its_own(parent: Workspace) -> None:
    config = sweep_over(parent.root, "model.compr_rate", 4)
    made(parent, config, ("passages", "base"))
    (variant,) = list_variants(config, parent)
    own = variant.workspace
    own.passages.parent.mkdir(parents=True)
    own.passages.write_text("own\n")
    (own.models / "base").mkdir(parents=True)
    (own.models / "base" / "own.txt").touch()
    link_shared(config, parent, variant)
    assert own.passages.read_text() == "passages\n"
    assert [path.name for path in (own.models / "base").iterdir()] == ["file.txt"]
    assert (parent.models / "base" / "file.txt").is_file()


def test_forgetting_results_leaves_the_shared_steps(parent: Workspace) -> None:
    config = sweep_over(parent.root, "model.compr_rate", 4)
    made(parent, config, ("passages",))
    (variant,) = list_variants(config, parent)
    link_shared(config, parent, variant)
    (variant.workspace.manifests / "stage1.json").write_text("{}")
    forget_results(variant)
    assert [p.name for p in variant.workspace.manifests.glob("[!.]*.json")] == ["passages.json"]


@pytest.mark.parametrize(
    ("key", "value", "step"),
    [
        ("model.doc_max_length", 128, "passages"),
        ("model.generation_top_k", 3, "mine"),
        ("model.base", "org/model", "tokenizer"),
        ("training.stage1.steps", 7, "mine"),
    ],
)
def test_a_key_that_needs_other_rows_or_another_base_is_refused(
    parent: Workspace, key: str, value: object, step: str
) -> None:
    with pytest.raises(ConfigError, match=f"changes the step '{step}', which a sweep runs once"):
        list_variants(sweep_over(parent.root, key, value), parent)


def metric(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def evaluated(variant_workspace: Workspace, em: float, folder: str = "evaluation") -> None:
    place = {"benchmark": "world", "setting": "oracle", "n": 50}
    summary = {
        "model": {"memory_tokens": 8, "generation_top_k": 1},
        "scores": [
            {**place, "system": "stage1", "metrics": {"em": metric(em)}},
            {**place, "system": "stage3", "metrics": {"em": metric(em / 2)}},
        ],
        "retrieval": [{**place, "system": "bm25", "metrics": {"recall@1": metric(0.5)}}],
    }
    path = variant_workspace.root / folder / "summary.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(summary))


def test_scores_stand_in_one_row_a_value_and_one_column_a_system(parent: Workspace) -> None:
    config = sweep_over(parent.root, "model.compr_rate", 4, 16, 64)
    for variant, em in zip(list_variants(config, parent)[:2], (0.9, 0.6), strict=True):
        evaluated(variant.workspace, em)
    page = write_sweep(config, parent).read_text()
    sweep = json.loads((parent.root / "sweep.json").read_text())
    assert sweep["missing"] == ["compr_rate=64"]
    answers, retrieval = tabulate(sweep)
    assert (answers["metric"], answers["systems"], answers["n"]) == ("em", ["stage1", "stage3"], 50)
    assert [(value, [m["value"] for m in metrics]) for value, metrics in answers["rows"]] == [
        (4, [0.9, 0.45]),
        (16, [0.6, 0.3]),
    ]
    assert (retrieval["metric"], retrieval["systems"]) == ("recall@1", ["bm25"])
    assert page.count('<svg class="lines"') == 2
    assert "Not evaluated yet: compr_rate=64" in page
    assert "variants/compr_rate=16/evaluation/report.html" in page


def test_a_named_evaluation_is_read_where_it_was_written(parent: Workspace) -> None:
    plain = sweep_over(parent.root, "model.compr_rate", 4)
    (variant,) = list_variants(plain, parent)
    evaluated(variant.workspace, 0.9)
    evaluated(variant.workspace, 0.6, "evaluations/x")
    named = plain.model_dump() | {"evaluation": {"name": "x"}}
    page = write_sweep(PipelineConfig.model_validate(named), parent).read_text()
    (table, _) = tabulate(json.loads((parent.root / "sweep.json").read_text()))
    assert table["rows"][0][1][0]["value"] == 0.6
    assert "variants/compr_rate=4/evaluations/x/report.html" in page


def test_what_came_back_from_memories_is_drawn_as_well(parent: Workspace) -> None:
    config = sweep_over(parent.root, "model.compr_rate", 4, 16)
    for variant, rouge in zip(list_variants(config, parent), (0.8, 0.3), strict=True):
        evaluated(variant.workspace, 0.9)
        path = variant.workspace.evaluation / "summary.json"
        row = {"benchmark": "world", "system": "stage1", "n": 12, "words": "",
               "metrics": {"reconstruction.rougeL": metric(rouge)}}  # fmt: skip
        path.write_text(json.dumps({**json.loads(path.read_text()), "reconstruction": [row]}))
    page = write_sweep(config, parent).read_text()
    table = tabulate(json.loads((parent.root / "sweep.json").read_text()))[-1]
    assert (table["setting"], table["n"], table["systems"]) == ("reconstruction", 12, ["stage1"])
    assert [metrics[0]["value"] for _, metrics in table["rows"]] == [0.8, 0.3]
    assert "ROUGE-L: The generated world, reconstruction" in page


def test_a_score_that_a_value_lacks_leaves_a_gap(parent: Workspace) -> None:
    config = sweep_over(parent.root, "model.compr_rate", 4, 16)
    first, second = list_variants(config, parent)
    evaluated(first.workspace, 0.9)
    evaluated(second.workspace, 0.6)
    path = second.workspace.evaluation / "summary.json"
    summary = json.loads(path.read_text())
    del summary["scores"][1]
    path.write_text(json.dumps(summary))
    write_sweep(config, parent)
    rows = tabulate(json.loads((parent.root / "sweep.json").read_text()))[0]["rows"]
    assert [[m and m["value"] for m in metrics] for _, metrics in rows] == [
        [0.9, 0.45],
        [0.6, None],
    ]


def answered(workspace: Workspace, wrong: Collection[str] = ()) -> None:
    """Stored predictions of stage 3 and full text; of the systems named every answer is wrong."""
    config, own = stored_evaluation(workspace.root)
    place = workspace.root / "evaluations" / "compared"
    for path in [p for p in place.rglob("*") if p.is_file()]:
        text = path.read_text()
        for made_up, system in (("clara_r4", "stage3"), ("text_base", "full_text")):
            text = text.replace(made_up, system)
            path = path.rename(path.with_name(path.name.replace(made_up, system)))
        path.write_text(text)
    for system in wrong:
        path = place / "predictions" / f"hotpotqa.oracle.{system}.jsonl"
        write_jsonl(path, [{**row, "answer": "elsewhere"} for row in read_records(path)])
    rescore(config, own)


def test_every_value_is_tested_against_the_first_on_the_same_questions(parent: Workspace) -> None:
    plain = sweep_over(parent.root, "model.compr_rate", 4, 16)
    named = plain.model_dump() | {"evaluation": {"name": "compared", "bootstrap_samples": 200}}
    config = PipelineConfig.model_validate(named)
    first, second = list_variants(config, parent)
    answered(first.workspace)
    answered(second.workspace, wrong={"stage3"})
    page = " ".join(write_sweep(config, parent).read_text().split())
    sweep = json.loads((parent.root / "sweep.json").read_text())
    found = {(row["setting"], row["system"], row["metric"]): row for row in sweep["comparisons"]}
    worse = found["oracle", "stage3", "hotpot.em"]
    # Nine of every ten were right, and none is.
    assert (worse["label"], worse["against"]) == ("compr_rate=16", "compr_rate=4")
    assert (worse["n"], worse["value"], worse["shown"]) == (QUESTIONS, -0.9, True)
    same = found["oracle", "full_text", "hotpot.em"]
    assert (same["value"], same["p"], same["shown"]) == (0.0, 1.0, False)
    assert found["reconstruction", "stage3", "reconstruction.rougeL"]["n"] == 4

    oracle = next(table for table in tabulate(sweep) if table["setting"] == "oracle")
    assert "test" not in oracle["rows"][0][1][0]
    assert verdicts(oracle, NAMES) == (
        "Paired test against compr_rate=4: 16 lower in stage 3 (p = 0.005); elsewhere no "
        "difference shown."
    )
    assert oracle["pool"] == "N = 4 candidates each, k = 2; pool: hotpotqa, 90 passages"
    assert f"n = {QUESTIONS}; {oracle['pool']}." in page
    assert "lower, p = 0.005" in page
    assert "no difference shown, p = 1.000" in page


def test_where_predictions_are_not_at_hand_nothing_is_tested(parent: Workspace) -> None:
    config = sweep_over(parent.root, "model.compr_rate", 4, 16)
    for variant in list_variants(config, parent):
        evaluated(variant.workspace, 0.9)
    page = write_sweep(config, parent).read_text()
    sweep = json.loads((parent.root / "sweep.json").read_text())
    assert sweep["comparisons"] == []
    assert verdicts(tabulate(sweep)[0], NAMES) == ""
    assert "paired permutation test" not in page
