"""Which jobs there are, in what order they are done, and what becomes of those that fail."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from clara_model import world
from clara_model.base.tokenizer import train_tokenizer
from clara_model.errors import ConfigError, LaunchError
from clara_model.rows import ROW_TYPES
from configs.learning import LearningConfig
from configs.load import load_settings
from tasks.learning.learn import Proof, prove
from tasks.learning.plan import Job, plan_jobs
from tasks.learning.rows import training_rows
from tasks.learning.schedule import _chain_costs, choose_jobs, read_result, run_jobs
from tasks.leases import FolderLeases, hold_lease
from tasks.progress import watch_progress

ROOT = Path(__file__).resolve().parents[3]
ABLATION = {
    "title": "no MSE", "source": "Table 4", "paper": "lower", "direction": "lower",
    "metric": "stage1.em", "change": {"stage1.mse_weight": 0.0},
}  # fmt: skip


def config(**values: object) -> LearningConfig:
    stage = {"steps": 2, "batch_size": 4}
    base = {"stage1": stage, "stage3": stage, "five_docs": stage, "rates": [4, 8]}
    return LearningConfig.model_validate({**base, **values})


def keys(settings: LearningConfig) -> dict[str, str]:
    return {job.name: job.key for job in plan_jobs(settings).jobs.values()}


def changed_jobs(one: LearningConfig, other: LearningConfig) -> set[str]:
    first, second = keys(one), keys(other)
    return {name for name in first if first[name] != second.get(name)}


def test_every_need_stands_before_and_no_name_comes_twice() -> None:
    jobs = list(plan_jobs(config(seeds=[0, 1], ablations={"mse-off": ABLATION})).jobs.values())
    names = [job.name for job in jobs]
    assert len(set(names)) == len(names)
    for place, job in enumerate(jobs):
        assert set(job.needs.values()) <= set(names[:place])


def test_a_change_does_only_what_depends_on_it_anew() -> None:
    stage3 = config(stage3={"steps": 3, "batch_size": 4})
    assert changed_jobs(config(), stage3) == {
        "seed0/stage3", "seed0/score-stage3", "seed0/stage3-control", "seed0/score-stage3-control",
    }  # fmt: skip
    assert not changed_jobs(config(), config(workers=1, threads=2, ablations={"a": ABLATION}))
    asked = changed_jobs(config(), config(questions={"split": "dev"}))
    assert asked
    assert all("/score-" in name for name in asked)


def test_an_ablation_shares_all_that_it_does_not_change() -> None:
    plan = plan_jobs(config(ablations={"mse-off": ABLATION}))
    reference, variant = plan.ablations[0, "mse-off"]
    assert reference == "seed0/score-stage1-r8"
    assert variant == "seed0/score-mse-off-stage1-r8"
    common = {**ABLATION, "common": {"stage1.steps": 1}}
    reference, _ = plan_jobs(config(ablations={"mse-off": common})).ablations[0, "mse-off"]
    assert reference == "seed0/score-mse-off-reference-stage1-r8"


def test_a_jobs_rows_are_as_many_as_its_steps_need() -> None:
    jobs = {job.name: job for job in plan_jobs(config(five_docs={"steps": 3})).jobs.values()}
    rows = jobs["seed0/five-docs"].settings["rows"]
    assert (rows["form"], rows["count"], rows["options"]) == ("stage2", 3 * 128, {"num_docs": 5})
    assert jobs["seed0/stage3-control"].settings["rows"]["shuffle"] is True
    assert jobs["seed0/stage3"].settings["rows"]["shuffle"] is False


def test_a_recipe_without_steps_is_refused() -> None:
    with pytest.raises(ConfigError, match="stage2 has no steps"):
        plan_jobs(config(five_docs={"batch_size": 4}))


def test_two_hops_start_from_the_model_of_five_documents() -> None:
    settings = config(two_hop={"steps": 2, "batch_size": 4})
    jobs = {job.name: job for job in plan_jobs(settings).jobs.values()}
    assert jobs["seed0/two-hop"].needs["init"] == "seed0/five-docs"
    assert "seed0/score-two-hop" in jobs
    assert jobs["seed0/two-hop"].settings["rows"]["form"] == "two_hop"
    assert jobs["seed0/score-reader"].settings["hint_share"] == 1.0


def test_five_documents_may_hold_questions_over_two() -> None:
    stage2 = {"steps": 2, "batch_size": 4, "two_hop_share": 0.6, "hint_share": 0.3}
    jobs = {job.name: job for job in plan_jobs(config(five_docs=stage2)).jobs.values()}
    rows = jobs["seed0/five-docs"].settings["rows"]
    assert rows["form"] == "two_hop_stage2"
    assert rows["options"] == {"num_docs": 5, "one_hop_share": 0.4, "hint_share": 0.3}


@pytest.mark.parametrize("name", ["learn", "learn_five", "world_gpu"])
def test_every_training_job_of_a_configuration_gets_rows_that_fit(name: str) -> None:
    settings = load_settings(ROOT / "configs" / f"{name}.yaml", [], LearningConfig)
    for job in plan_jobs(settings).jobs.values():
        if job.kind == "train":
            rows = list(training_rows({**job.settings["rows"], "count": 20}))
            assert len(rows) == 20
            for row in rows:
                ROW_TYPES[job.settings["stage"]].model_validate(row)


@pytest.mark.parametrize("name", ["learn", "learn_five", "world_gpu"])
def test_no_document_is_cut(name: str, tmp_path: Path) -> None:
    settings = load_settings(ROOT / "configs" / f"{name}.yaml", [], LearningConfig)
    hops = settings.built_in.hops
    train_tokenizer([], tmp_path, extended=hops > 1)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    rows = world.two_hop_rows(200, 1, "train") if hops > 1 else world.stage3_rows(200, 1, "train")
    lengths = [len(tokenizer.tokenize(text)) for row in rows for text in row["docs"]]
    assert max(lengths) <= settings.model.doc_max_length


def job(name: str, *needs: str, cost: float = 1.0, form: str = "nowhere") -> Job:
    rows = {"form": form, "count": 1, "seed": 0, "options": {}, "shuffle": False}
    settings = {"device": "cpu", "rows": rows}
    return Job(name, "train", settings, {need: need for need in needs}, f"key-{name}", cost)


def finish(root: Path, done: Job, **result: object) -> None:
    (root / done.name).mkdir(parents=True)
    (root / done.name / "RESULT.json").write_text(json.dumps({"key": done.key, **result}))


def test_the_longest_chain_comes_first() -> None:
    jobs = [job("a", cost=1), job("b", cost=4), job("c", "a", cost=9), job("d", "c", "b", cost=1)]
    assert _chain_costs(jobs) == {"a": 11, "b": 5, "c": 10, "d": 1}


def test_only_names_jobs_and_brings_what_they_need() -> None:
    jobs = [job("s/reader"), job("s/stage1", "s/reader"), job("s/other", "s/reader")]
    assert [j.name for j in choose_jobs(jobs, "*/stage1")] == ["s/reader", "s/stage1"]
    assert choose_jobs(jobs, None) == jobs
    with pytest.raises(ConfigError, match="no such job; there are: s/reader"):
        choose_jobs(jobs, "nothing")


def test_finished_jobs_are_not_done_again_and_others_of_that_name_are(tmp_path: Path) -> None:
    jobs = [job("one"), job("two", "one")]
    for done in jobs:
        finish(tmp_path, done)
    outcome = run_jobs(jobs, tmp_path, workers=1, threads=1)
    assert outcome.done == ["one", "two"]
    assert not (tmp_path / "one" / "JOB.json").exists()
    assert read_result(tmp_path, Job("one", "train", {}, {}, "another key", 1.0)) is None


def test_a_failed_job_is_told_and_only_what_needs_it_is_skipped(tmp_path: Path) -> None:
    jobs = [job("bad"), job("after", "bad"), job("last", "after"), job("fine")]
    finish(tmp_path, jobs[-1])
    outcome = run_jobs(jobs, tmp_path, workers=2, threads=1)
    assert outcome.done == ["fine"]
    assert outcome.skipped == ["after", "last"]
    assert "the made-up world has no nowhere_rows" in outcome.failed["bad"]
    with pytest.raises(LaunchError, match=r"bad failed:\n.*no nowhere_rows[^$]*after, last"):
        outcome.check()


def test_whoever_watches_hears_how_many_jobs_are_done(tmp_path: Path) -> None:
    jobs = [job("one"), job("bad", "one"), job("after", "bad")]
    finish(tmp_path, jobs[0])
    heard: list[tuple[str, int, int]] = []
    with watch_progress(lambda *told: heard.append(told)):
        run_jobs(jobs, tmp_path, workers=1, threads=1)
    assert heard == [("jobs", 1, 3), ("jobs, last bad", 1, 3)]


def test_a_second_run_on_a_workspace_waits_and_takes_over_the_results(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config(workspace=tmp_path, seeds=[0])
    plan = plan_jobs(settings)
    reader = next(iter(plan.jobs.values()))
    proofs: list[Proof] = []
    second = threading.Thread(
        target=lambda: proofs.append(prove(settings, command="clara learn", only=reader.name))
    )
    with caplog.at_level(logging.INFO), hold_lease("learn", FolderLeases(tmp_path / "leases")):
        second.start()
        while "waiting for" not in caplog.text:
            assert second.is_alive()
            second.join(0.05)
        finish(  # by the first run
            tmp_path, reader, kind="reader", started=0.0, ended=60.0, counts={"parameters": 9},
            machine={"processor": "one", "cores": 2},
        )  # fmt: skip
    second.join(60)
    [proof] = proofs
    assert proof.outcome.done == [reader.name]
    assert not (tmp_path / reader.name / "JOB.json").exists()
    assert proof.summary["jobs"]["done"] == 1
