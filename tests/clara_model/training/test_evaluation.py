"""Evaluation between training steps: what it says, and that training does not notice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clara_model.training.engine import Ranks
from clara_model.training.evaluation import evaluate
from clara_model.training.metrics import MetricsLog, read_metrics, recall
from clara_model.training.spec import TrainSpec
from clara_model.training.step import Run
from clara_model.training.trainer import Trainer

MakeSpec = Callable[..., TrainSpec]


class Killed(Exception):
    pass


def _places(folder: Path) -> dict[str, Path]:
    return {name: folder / name for name in ("output", "work", "logs")}


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.name}/{name}": tensor
        for path in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def _run(trainer: Trainer) -> Run:
    return Run(trainer.engine, trainer.spec, trainer.ranks, trainer.micro)


def _evaluate(trainer: Trainer, rows: list[dict], size: int) -> dict:
    return evaluate(
        _run(trainer), rows, trainer._make_batch, memory=trainer.memory, size=size
    )  # fmt: skip


def test_training_does_not_notice_evaluations(
    make_spec: MakeSpec, ranks: Ranks, tmp_path: Path
) -> None:
    often = make_spec("stage1", training={"eval_every": 1}, **_places(tmp_path / "often"))
    rarely = make_spec("stage1", training={"eval_every": 100}, **_places(tmp_path / "rarely"))
    trainers = [Trainer(spec, ranks) for spec in (often, rarely)]
    for trainer in trainers:
        trainer.train()
    assert _same(_weights(often.output), _weights(rarely.output))
    scores = [[line.get("eval_loss") for line in read_metrics(spec.metrics_path)]
              for spec in (often, rarely)]  # fmt: skip
    assert None not in scores[0]
    assert scores[1] == [None] * 5 + scores[0][5:]  # the end is always evaluated


@pytest.mark.parametrize("zero_stage", [2, 3])
def test_the_loss_is_the_mean_over_all_rows_however_they_are_cut(
    make_spec: MakeSpec, ranks: Ranks, zero_stage: int
) -> None:
    trainer = Trainer(make_spec("stage1", zero_stage=zero_stage), ranks)
    rows = trainer.dataset.batch(0)
    trainer.engine.train()
    losses = [_evaluate(trainer, rows, size)["eval_loss"] for size in (1, 3, 4)]
    assert losses[1:] == pytest.approx([losses[0]] * 2, abs=1e-5)
    assert all(module.training for module in trainer.model.modules())
    if zero_stage == 2:
        trainer.model.eval()
        output = trainer.model(stage="stage1", **trainer._make_batch(rows))
        assert losses[0] == pytest.approx(float(output.loss.detach()), abs=1e-5)


def test_stage3_scores_answers_and_recall(make_spec: MakeSpec, ranks: Ranks) -> None:
    first = make_spec("stage1", training={"steps": 2})
    Trainer(first, ranks).train()
    trainer = Trainer(make_spec("stage3", init=first.output), ranks)
    rows = [row | {"pos_index": [i % 4]} for i, row in enumerate(trainer.dataset.batch(0))]
    scores = _evaluate(trainer, rows, 3)
    model = trainer.model
    answers, index = model.generate_from_questions(
        [row["question"] for row in rows], [row["docs"] for row in rows], max_new_tokens=9
    )
    expected = [recall(c, row["pos_index"]) for c, row in zip(index.tolist(), rows, strict=True)]
    assert scores["eval_recall_at_k"] == pytest.approx(sum(expected) / 4)
    assert scores["eval_recall_at_1"] <= scores["eval_recall_at_k"]
    exact = [
        answer.strip() == row["gold_answer"] for answer, row in zip(answers, rows, strict=True)
    ]
    assert scores["eval_em"] == pytest.approx(sum(exact) / 4)
    assert 0 <= scores["eval_em"] <= scores["eval_f1"] <= 1


def test_the_best_weights_are_kept_and_a_stage_may_end_early_even_if_it_is_cut_off(
    make_spec: MakeSpec, ranks: Ranks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So high a rate soon does more harm than good.
    training = {"eval_every": 1, "learning_rate": 0.3, "schedule": "constant", "keep": "best",
                "early_stopping": 3, "steps": 30, "checkpoint_every": 4}  # fmt: skip
    whole = make_spec("stage1", training=training, **_places(tmp_path / "whole"))
    Trainer(whole, ranks).train()
    lines = read_metrics(whole.metrics_path)
    best = min(lines, key=lambda line: line["eval_loss"])["step"]
    assert len(lines) == best + 3 < 30
    assert lines[-1]["stopped_early_at"] == len(lines)
    spec = make_spec("stage1", training=training)
    write = MetricsLog.write

    def stop(self: MetricsLog, line: dict) -> None:
        if line["step"] == best + 2:
            raise Killed
        write(self, line)

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "write", stop)
        with pytest.raises(Killed):
            Trainer(spec, ranks).train()
    kept = load_file(spec.work / f"step-{best:07d}" / "trained.safetensors")
    again = Trainer(spec, ranks)
    again.train()
    assert len(read_metrics(spec.metrics_path)) == len(lines)
    assert _same(_weights(spec.output), _weights(whole.output))
    final = dict(again.model.trainable_parameters())
    assert all(torch.equal(final[name].detach().float(), value) for name, value in kept.items())
