"""Which rows are held out, and what their scores decide."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from clara_model.errors import ConfigError
from clara_model.training.dataset import Dataset
from clara_model.training.heldout import Standing, check_evaluation, hold_out
from clara_model.training.spec import TrainSpec

MakeSpec = Callable[..., TrainSpec]
EVALUATED = {"eval_every": 2, "eval_rows": 10}


def _pretrain(document: str, kind: str = "qa") -> dict:
    return {"data_type": kind, "question": ["Who?"], "answers": ["Ada"], "docs": [document]}


def _question(number: int, docs: int = 4) -> dict:
    texts = [f"document {number} {i}" for i in range(docs)]
    return {"question": f"Who is {number}?", "docs": texts, "gold_answer": f"name {number}",
            "pos_index": [0]}  # fmt: skip


def _hold_out(
    documents: list[dict], world: list[dict], spec: TrainSpec
) -> tuple[list[dict], list[dict], list[dict]]:
    (left, left_world), out = hold_out((documents, world), spec)
    return left, left_world, out


def test_no_document_of_a_held_out_row_is_trained_on(make_spec: MakeSpec) -> None:
    rows = [_pretrain(f"document {i % 50}", ("qa", "paraphrase")[i % 2]) for i in range(150)]
    left, _, out = _hold_out(rows, [], make_spec("stage1", training=EVALUATED))
    assert 8 <= len(out) <= 10  # three rows a document
    assert {row["docs"][0] for row in left}.isdisjoint(row["docs"][0] for row in out)
    assert len(left) + len(out) == 150


def test_the_same_question_and_answer_is_never_on_both_sides(make_spec: MakeSpec) -> None:
    rows = [_question(i % 40) | {"id": str(i)} for i in range(80)]
    left, _, out = _hold_out(rows, [], make_spec("stage3", training=EVALUATED))
    assert len(out) == 10
    assert {row["question"] for row in left}.isdisjoint(row["question"] for row in out)


def test_which_rows_depends_on_content_and_seed_alone(make_spec: MakeSpec) -> None:
    rows = [_question(i) for i in range(80)]
    spec = make_spec("stage3", training=EVALUATED)

    def names(rows: list[dict], spec: TrainSpec) -> set[str]:
        return {row["question"] for row in _hold_out(rows, [], spec)[2]}

    chosen = names(rows, spec)
    assert names(rows[::-1], spec) == chosen
    assert names(rows, make_spec("stage3", training=EVALUATED | {"seed": 1})) != chosen


def test_both_sources_are_held_out_as_they_are_mixed(make_spec: MakeSpec) -> None:
    documents, world = ([_question(i) for i in range(s, s + 100)] for s in (0, 100))
    spec = make_spec("stage3", training=EVALUATED, world_share=0.3)
    left, left_world, out = _hold_out(documents, world, spec)
    assert (len(left), len(left_world), len(out)) == (93, 97, 10)


def test_at_most_a_fifth_is_held_out(make_spec: MakeSpec) -> None:
    rows = [_question(i) for i in range(21)]
    left, _, out = _hold_out(rows, [], make_spec("stage3", training=EVALUATED))
    assert (len(left), len(out)) == (17, 4)


def test_too_few_rows_are_all_trained_on(
    make_spec: MakeSpec, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [_question(i) for i in range(4)]
    left, _, out = _hold_out(rows, [], make_spec("stage3", training=EVALUATED))
    assert (left, out) == (rows, [])
    assert "4 rows are too few" in caplog.text


def test_without_evaluations_all_rows_are_trained_on(make_spec: MakeSpec) -> None:
    rows = [_question(i) for i in range(80)]
    assert _hold_out(rows, [], make_spec("stage3")) == (rows, [], [])


def test_no_step_sees_a_held_out_row_but_its_documents_are_compressed(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(_question(i)) + "\n" for i in range(30)))
    dataset = Dataset(make_spec("stage3", documents=path, training=EVALUATED | {"steps": 12}))
    seen = {row["question"] for step in range(dataset.num_steps) for row in dataset.batch(step)}
    assert len(dataset.held_out) == 6
    assert len(seen) == 24
    assert seen.isdisjoint(row["question"] for row in dataset.held_out)
    assert len(set(dataset.documents())) == 30 * 4


@pytest.mark.parametrize(
    ("stage", "training", "zero_stage", "message"),
    [
        ("stage1", {"best_metric": "recall_at_1"}, 2,
         "stage1.best_metric is recall_at_1, which only stage 3 has; choose one of loss, em, f1$"),
        ("stage3", {"best_metric": "em"}, 3,
         "em, which no run has under ZeRO 3; choose one of loss, recall_at_1, recall_at_k"),
        ("stage2", {"early_stopping": 2, "eval_every": 0}, 2,
         "stage2.early_stopping needs evaluations.*set training.stage2.eval_every"),
        ("stage2", {"keep": "best", "eval_every": 0}, 2, "stage2.keep=best needs evaluations"),
    ],
    ids=["no such metric", "zero 3", "early stopping alone", "best alone"],
)  # fmt: skip
def test_settings_that_cannot_be_followed_are_refused(
    make_spec: MakeSpec, stage: str, training: dict, zero_stage: int, message: str
) -> None:
    spec = make_spec(stage, training={"eval_every": 1} | training, zero_stage=zero_stage)
    with pytest.raises(ConfigError, match=message):
        check_evaluation(spec, [])


def test_recall_needs_rows_that_say_what_is_gold(make_spec: MakeSpec) -> None:
    spec = make_spec("stage3", training=EVALUATED | {"best_metric": "recall_at_k"})
    check_evaluation(spec, [_question(0)])
    with pytest.raises(ConfigError, match=r"no held-out row has a pos_index for.*loss, em, f1$"):
        check_evaluation(spec, [_question(0) | {"pos_index": []}])


def test_paraphrases_alone_have_no_answer_to_score(make_spec: MakeSpec) -> None:
    spec = make_spec("stage1", training=EVALUATED | {"best_metric": "f1"})
    with pytest.raises(ConfigError, match="no held-out row has a question for; choose one of loss"):
        check_evaluation(spec, [_pretrain("d", "paraphrase")])


def _lines(values: list[float | None], metric: str) -> list[dict]:
    return [
        {"step": step, "grad_norm": 1.0, "loss": 0.0} | ({f"eval_{metric}": value})
        for step, value in enumerate(values, start=1)
    ]


@pytest.mark.parametrize(
    ("metric", "values", "best_step"),
    [("loss", [3.0, 2.0, 2.0, 2.5], 2), ("em", [0.1, 0.0, 0.3, 0.3], 3), ("loss", [None, 2.0], 2)],
)
def test_the_best_evaluation_is_the_first_of_the_best(
    metric: str, values: list[float | None], best_step: int
) -> None:
    standing = Standing(metric, patience=0)
    standing.replay(_lines(values, metric))
    assert (standing.best_step, standing.best) == (best_step, values[best_step - 1])
    assert not standing.is_over


def test_patience_ends_after_as_many_evaluations_without_a_better_one() -> None:
    standing = Standing("f1", patience=2)
    over = []
    for line in _lines([0.1, 0.1, 0.2, 0.1, float("nan")], "f1"):
        standing.take(line)
        over.append(standing.is_over)
    assert over == [False, False, False, False, True]


def test_steps_without_an_evaluation_or_an_update_do_not_count() -> None:
    standing = Standing("loss", patience=1)
    standing.take({"step": 1, "grad_norm": 1.0, "loss": 5.0})
    assert not standing.take({"step": 2, "grad_norm": None, "eval_loss": 1.0})
    assert standing.best is None
    assert not standing.is_over
