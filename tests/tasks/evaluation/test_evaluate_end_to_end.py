"""The whole evaluation on tiny random models: what is asked, kept, reused and continued."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_workspace import tiny_config, tiny_workspace

from clara_model.errors import CheckpointError
from clara_model.evaluation.metrics import score
from tasks.evaluation import evaluate as evaluate_module
from tasks.evaluation import predict as predict_module
from tasks.evaluation.benchmarks import load_benchmarks
from tasks.evaluation.entrants import list_entrants
from tasks.evaluation.evaluate import evaluate
from tasks.evaluation.jobs import plan_jobs
from tasks.evaluation.report import write_report
from tasks.storage import StepResult, read_records, write_json, write_jsonl
from tasks.workspace import Workspace


@pytest.fixture(scope="module")
def evaluated(
    shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Workspace, StepResult]:
    workspace = tiny_workspace(tmp_path_factory.mktemp("evaluated"), shared)
    losses = [{"step": step, "loss": 2.0 / step} for step in (1, 2, 3, 4)]
    write_jsonl(workspace.root / "logs" / "stage1" / "metrics.jsonl", losses)
    return workspace, evaluate(tiny_config(workspace), workspace)


@pytest.fixture
def summary(evaluated: tuple[Workspace, StepResult]) -> dict:
    return json.loads((evaluated[0].evaluation / "summary.json").read_text())


def predictions(workspace: Workspace, name: str) -> list[dict]:
    return read_records(workspace.evaluation / "predictions" / f"{name}.jsonl")


def test_every_system_is_asked_in_every_setting(summary: dict) -> None:
    asked = {(r["benchmark"], r["setting"], r["system"]) for r in summary["scores"]}
    all_systems = {"closed_book", "full_text", "stage1", "stage2", "stage3"}
    for benchmark in ("documents", "world"):
        for setting in ("normal", "oracle"):
            assert {s for b, t, s in asked if (b, t) == (benchmark, setting)} == all_systems
        gold = {s for b, t, s in asked if (b, t) == (benchmark, "gold")}
        assert gold == {"full_text", "stage1", "stage2"}
    assert ("world", "decoy", "stage2") in asked
    assert ("documents", "decoy", "stage2") not in asked


def test_documents_given_follow_the_setting(evaluated: tuple[Workspace, StepResult]) -> None:
    workspace, _ = evaluated
    for row in predictions(workspace, "world.oracle.stage2"):
        assert set(row["positives"]) <= set(row["documents"])
        assert len(row["documents"]) == 2
    assert all(row["documents"] == [] for row in predictions(workspace, "world.oracle.closed_book"))
    for row in predictions(workspace, "world.gold.stage1"):
        assert row["documents"] == row["positives"]
    for row in predictions(workspace, "world.decoy.stage2"):
        assert not set(row["documents"]) & set(row["positives"])


def test_stage3_reads_the_head_of_its_own_ranking(
    evaluated: tuple[Workspace, StepResult],
) -> None:
    for row in predictions(evaluated[0], "world.normal.stage3"):
        by_score = sorted(range(6), key=lambda i: -row["scores"][i])
        assert [row["scores"][i] for i in row["ranking"]] == [row["scores"][i] for i in by_score]
        assert row["documents"] == row["ranking"][:2]


def test_scores_are_means_over_the_stored_predictions(
    evaluated: tuple[Workspace, StepResult],
) -> None:
    workspace, result = evaluated
    rows = predictions(workspace, "world.oracle.full_text")
    mean = sum(score("open.f1", row["answer"], row["golds"]) for row in rows) / len(rows)
    assert result.counts["world/oracle/full_text/f1"] == pytest.approx(mean, abs=1e-4)


def test_retrieval_counts_questions_whose_gold_is_no_candidate_as_well(summary: dict) -> None:
    n = {
        (r["benchmark"], r["setting"]): r["n"]
        for r in summary["retrieval"]
        if r["system"] == "stage3"
    }
    assert n[("documents", "normal")] == 2
    assert n[("documents", "oracle")] == 2
    chance = next(r for r in summary["retrieval"] if r["system"] == "chance")
    assert chance["metrics"]["recall@1"]["value"] == pytest.approx(1 / 6, abs=1e-4)
    assert {r["system"] for r in summary["retrieval"]} == {"chance", "bm25", "encoder", "stage3"}


def test_audit_counts_golds_among_the_candidates(summary: dict) -> None:
    audit = {(b["name"], b["setting"]): b["gold_present"] for b in summary["benchmarks"]}
    assert audit[("documents", "normal")] == 1
    assert audit[("documents", "oracle")] == 2


def test_every_stage_writes_held_out_passages_anew(
    evaluated: tuple[Workspace, StepResult], summary: dict
) -> None:
    workspace, result = evaluated
    rows = {(r["benchmark"], r["system"]): r for r in summary["reconstruction"]}
    assert {system for benchmark, system in rows if benchmark == "world"} == {
        "another", "stage1", "stage2", "stage3",
    }  # fmt: skip
    held_out = {row["docs"][i] for row in read_records(workspace.world / "benchmark/oracle.jsonl")
                for i in row["pos_index"]}  # fmt: skip
    place = workspace.evaluation / "reconstruction"
    for stage in ("stage1", "stage2", "stage3"):
        texts = read_records(place / f"world.{stage}.jsonl")
        assert {text["original"] for text in texts} == held_out
        scores = [score("reconstruction.rouge1", t["regenerated"], [t["original"]]) for t in texts]
        mean = pytest.approx(sum(scores) / len(scores), abs=1e-4)
        assert rows["world", stage]["n"] == len(held_out)
        assert result.counts[f"world/{stage}/reconstruction.rouge1"] == mean
        assert rows["world", stage]["metrics"]["reconstruction.rouge1"]["value"] == mean


def test_losses_are_read_from_the_training_logs(summary: dict) -> None:
    loss = summary["losses"]["stage1"]
    assert (loss["steps"], loss["first"], loss["last"]) == (4, 2.0, 0.5)
    assert "stage2" not in summary["losses"]


def test_second_evaluation_loads_no_model_and_says_the_same(
    evaluated: tuple[Workspace, StepResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, result = evaluated
    before = (workspace.evaluation / "summary.json").read_bytes()
    monkeypatch.setattr(evaluate_module, "predict", pytest.fail)
    assert evaluate(tiny_config(workspace), workspace).counts == result.counts
    assert (workspace.evaluation / "summary.json").read_bytes() == before


def test_killed_evaluation_continues_to_the_same_files(
    evaluated: tuple[Workspace, StepResult],
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        pass

    whole, _ = evaluated
    workspace = tiny_workspace(tmp_path, shared)
    config = tiny_config(workspace)
    real = predict_module.Journal.add
    added = 0

    def add_and_die(journal: predict_module.Journal, key: str, record: dict) -> None:
        nonlocal added
        added += 1
        if added == 27:
            raise Killed
        real(journal, key, record)

    monkeypatch.setattr(predict_module.Journal, "add", add_and_die)
    with pytest.raises(Killed):
        evaluate(config, workspace)
    finished = len(list((workspace.evaluation / "predictions").iterdir()))
    assert 0 < finished < 31
    evaluate(config, workspace)
    names = sorted(path.name for path in (whole.evaluation / "predictions").iterdir())
    for name in names:
        ours = workspace.evaluation / "predictions" / name
        assert ours.read_bytes() == (whole.evaluation / "predictions" / name).read_bytes()
    assert not list(workspace.progress.iterdir())


def test_another_checkpoint_is_asked_again_and_others_are_not(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tiny_workspace(tmp_path, shared, questions=2)
    config = tiny_config(workspace)
    evaluate(config, workspace)
    settings = json.loads((workspace.models / "stage2" / "config.json").read_text())
    write_json(workspace.models / "stage2" / "config.json", {**settings, "note": "changed"})
    asked: list[str] = []
    written: list[str] = []
    real = evaluate_module.predict

    def remember(config, workspace, jobs, rebuilds, advance) -> None:
        asked.extend(job.system for job in jobs)
        written.extend(rebuild.entrant.id for rebuild in rebuilds)
        real(config, workspace, jobs, rebuilds, advance)

    monkeypatch.setattr(evaluate_module, "predict", remember)
    evaluate(config, workspace)
    assert set(asked) == {"stage2", "encoder"}
    assert set(written) == {"stage2"}


def test_lack_of_memory_halves_the_batch_and_empties_no_answer(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from clara_model import Clara

    workspace = tiny_workspace(tmp_path, shared)
    changed = {"systems": ["base"], "held_out": ["world"], "settings": ["oracle"], "batch_size": 6}
    config = tiny_config(workspace)
    evaluation = config.evaluation.model_copy(update=changed)
    config = config.model_copy(update={"evaluation": evaluation})
    real, sizes = Clara.answer_from_full_text, []

    def answer(model, questions, *arguments, **options):
        sizes.append(len(questions))
        if len(questions) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(model, questions, *arguments, **options)

    monkeypatch.setattr(Clara, "answer_from_full_text", answer)
    evaluate(config, workspace)
    assert sizes == [6, 3, 1, 1, 1, 1, 1, 1] or sizes == [6, 3, 2, 2, 2]
    place = workspace.root / "evaluations" / "systems" / "predictions"
    rows = read_records(place / "world.oracle.text_base.jsonl")
    assert len(rows) == 6
    assert all(row["answer"] for row in rows)


def test_missing_stage_is_named_with_its_command(shared: Path, tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path, shared, questions=2)
    (workspace.models / "stage3").rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"stage3.*clara train stage3"):
        evaluate(tiny_config(workspace), workspace)


def test_no_questions_give_a_summary_that_says_so(shared: Path, tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path, shared, questions=2)
    for path in (*workspace.benchmark.iterdir(), *(workspace.world / "benchmark").iterdir()):
        path.write_text("")
    assert evaluate(tiny_config(workspace), workspace).counts == {}
    page = write_report(tiny_config(workspace), workspace).read_text()
    assert "no held-out questions" in page


def test_report_says_what_the_summary_says(
    evaluated: tuple[Workspace, StepResult], summary: dict
) -> None:
    workspace, _ = evaluated
    write_json(
        workspace.manifests / "passages.json",
        {"step": "passages", "counts": {"passages": 84}, "seconds": 1.5},
    )
    write_jsonl(
        workspace.rejected, [{"step": "extract", "item": "broken.pdf", "reason": "no <PDF> header"}]
    )
    page = write_report(tiny_config(workspace), workspace).read_text()
    for row in (*summary["scores"], *summary["retrieval"]):
        for metric in row["metrics"].values():
            assert f"{metric['value']:.2f}<small>" in page
    for note in summary["notes"]:
        assert note["text"].split("'")[0].replace('"', "&#34;") in page
    question = predictions(workspace, "world.oracle.stage1")[0]["question"]
    for words in (
        question,
        "passages <b>84</b>",
        "broken.pdf",
        "no &lt;PDF&gt; header",
        "polyline",
    ):
        assert words in page


def test_report_needs_nothing_from_outside(evaluated: tuple[Workspace, StepResult]) -> None:
    page = write_report(tiny_config(evaluated[0]), evaluated[0]).read_text()
    for outside in ("http://", "https://", "<script", "<link", "@import", "url("):
        assert outside not in page


def test_report_is_rebuilt_where_there_is_no_torch(
    evaluated: tuple[Workspace, StepResult],
) -> None:
    workspace, _ = evaluated
    expected = write_report(tiny_config(workspace), workspace).read_bytes()
    program = (
        "import sys; sys.path[:0] = ['.', 'tests/support']\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'transformers'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from pathlib import Path\n"
        "from tasks.evaluation.evaluate import rescore\n"
        "from tasks.evaluation.report import write_report\n"
        "from tasks.workspace import Workspace\n"
        "from tiny_workspace import tiny_config\n"
        "workspace = Workspace(Path(sys.argv[1]))\n"
        "rescore(tiny_config(workspace), workspace)\n"
        "write_report(tiny_config(workspace), workspace)\n"
    )
    write_json(workspace.evaluation / "summary.json", {})
    command = [sys.executable, "-c", program, str(workspace.root)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[3])
    assert (workspace.evaluation / "report.html").read_bytes() == expected


def test_with_one_document_read_oracle_is_the_gold_one_alone(
    evaluated: tuple[Workspace, StepResult],
) -> None:
    workspace, _ = evaluated
    config = tiny_config(workspace)
    one = config.model_copy(
        update={"model": config.model.model_copy(update={"generation_top_k": 1})}
    )
    entrants = list_entrants(one, workspace)
    jobs = plan_jobs(workspace.evaluation, entrants, load_benchmarks(one, workspace))
    assert {job.setting for job in jobs} == {"normal", "oracle", "decoy"}
    for job in jobs:
        if (job.setting, job.system) == ("oracle", "stage1"):
            assert all(job.documents(s) == list(s.positives) for s in job.benchmark.samples)
