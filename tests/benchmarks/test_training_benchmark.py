"""The benchmark compares what computes the same, and refuses everything else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import report
from benchmarks.measure import difference
from benchmarks.plain import PlainTrainer
from benchmarks.rows import Row, load_pretrain_rows, rows_of_stage, texts
from benchmarks.shapes import SHAPES, Shape, build_model, train_tokenizer
from clara_model import Clara
from clara_model.batches import collate
from clara_model.errors import ClaraError

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("stage1", "stage2", "stage3")


@pytest.fixture(scope="module")
def generated() -> list[Row]:
    return load_pretrain_rows(Path("no such folder"))[0]


@pytest.fixture(scope="module")
def model(generated: list[Row]) -> Iterator[Clara]:
    tokenizer = train_tokenizer(texts(generated[:40]), SHAPES["tiny"].tokenizer_vocab)
    with torch.random.fork_rng():
        yield build_model(SHAPES["tiny"], tokenizer, rate=16, dtype="fp32", device="cpu")


@pytest.mark.parametrize("stage", STAGES)
def test_plain_step_has_the_models_loss_and_gradients(
    stage: str, model: Clara, generated: list[Row]
) -> None:
    model.prepare_stage(stage)
    rows = rows_of_stage(generated, stage, count=4, pool=24)
    found = PlainTrainer(model, stage, micro_batch_size=2).step(rows)

    batch = collate(rows, model.tokenizer, model.config, stage=stage, generator_seed=0)
    output = model(stage=stage, **batch)
    output.loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(gradients))
    model.zero_grad()

    assert found.lm_loss == pytest.approx(float(output.lm_loss.detach()), rel=1e-5)
    assert found.norm == pytest.approx(norm, rel=1e-4)
    if stage != "stage3":
        assert found.mse_loss == pytest.approx(float(output.mse_loss.detach()), rel=1e-5)


def test_plain_step_leaves_the_weights(model: Clara, generated: list[Row]) -> None:
    model.prepare_stage("stage1")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    PlainTrainer(model, "stage1", 2).step(rows_of_stage(generated, "stage1", 2, pool=24))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_plain_documents_are_padded_to_their_maximum(model: Clara, generated: list[Row]) -> None:
    model.prepare_stage("stage3")
    trainer = PlainTrainer(model, "stage3", 1)
    row = rows_of_stage(generated, "stage3", 1, pool=24)[0]
    found = trainer.step([row])
    batch = collate([row], model.tokenizer, model.config, stage="stage3", generator_seed=0)
    width = 64 + 3 + 64 // 16
    assert found.positions == (20 + 1) * width + batch["dec_input_ids"].shape[1]


@pytest.mark.parametrize("ours", [1.001, float("nan")])
def test_unequal_losses_are_refused(ours: float) -> None:
    with pytest.raises(ClaraError, match="nothing was compared"):
        difference("loss", 1.0, ours, 1e-4)


def test_equal_losses_pass() -> None:
    assert difference("loss", 2.0, 2.0001, 1e-4) == pytest.approx(5e-5, rel=1e-6)


def test_rows_of_later_stages_hold_their_own_document(generated: list[Row]) -> None:
    for stage, number in (("stage2", 5), ("stage3", 20)):
        for row in rows_of_stage(generated, stage, 30, pool=40):
            own = next(r for r in generated if row["docs"][row["pos_index"][0]] == r["docs"][0])
            assert len(set(row["docs"])) == number
            assert row["question"] == own["question"][0]
            assert row["answer"] == own["answers"][0]


def test_weights_of_a_shape_are_counted_as_the_model_has_them(model: Clara) -> None:
    shape = SHAPES["tiny"]
    linear = {
        name: parameter.numel()
        for name, parameter in model.decoder.named_parameters()
        if parameter.ndim == 2 and "embed" not in name and "lm_head" not in name
    }
    base = sum(size for name, size in linear.items() if "base_layer" in name)
    lora = sum(size for name, size in linear.items() if "encoder_adapter" in name)
    assert (shape.layer_weights, shape.lora_weights(16)) == (base, lora)


def test_useful_flops_of_a_decoder_worked_out_by_hand() -> None:
    shape = Shape("mistral", 2, 1, 3, 1, 1, 5, 5, (1, 1, 1), (1, 1, 1), pool=1)
    # Four square projections and three of the MLP; LoRA of rank 16 has rows for both sides.
    weights, lora = 4 * 4 + 3 * 6, 16 * (4 * 4 + 3 * 5)
    assert report.useful_flops(shape, 10, 2) == 10 * (4 * weights + 6 * lora) + 2 * 4 * 2 * 5


def test_section_is_renewed_and_the_rest_of_the_page_kept(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{report.BEGIN}\n\nold\n\n{report.END}\n\nReading.\n")
    report.write_section(page, "new")
    report.write_section(page, "newer")
    assert page.read_text() == f"# Title\n\n{report.BEGIN}\n\nnewer\n\n{report.END}\n\nReading.\n"


@pytest.mark.slow
def test_benchmark_runs_end_to_end(tmp_path: Path) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.md"
    command = [sys.executable, str(ROOT / "benchmarks" / "training.py"), "--shape", "tiny",
               "--stage", "3", "--repeats", "1", "--block", "1", "--shared", str(tmp_path),
               "--dtype", "bf16", "--checkpointing", "on",
               "--json", str(figures), "--markdown", str(page)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())
    timing = found["timings"]["stage3"]
    assert timing["plain"]["labelled"] == timing["ours"]["labelled"] > 0
    assert timing["plain"]["positions"] > 5 * timing["ours"]["positions"]
    peaks = found["memory"]["stage 3, gradient checkpointing"]
    assert peaks["plain"] > peaks["ours"] > 0
    assert "generated text" in page.read_text()
    assert "| 3 |" in page.read_text()
