"""The vectors: every case in the shared folder, with its two models."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from clara_model import Clara

ROOT = Path(__file__).resolve().parents[2]
CASES = Path(os.environ.get("CLARA_SHARED", ROOT.parent / "shared")) / "conformance"


@dataclass
class Case:
    """One tiny decoder with its checkpoints, inputs and expected tensors."""

    folder: Path

    @cached_property
    def facts(self) -> dict[str, Any]:
        return json.loads((self.folder / "cases.json").read_text(encoding="utf-8"))

    @cached_property
    def expected(self) -> dict[str, Tensor]:
        return load_file(self.folder / "expected.safetensors")

    @cached_property
    def before_stage3(self) -> Clara:
        return self.load("checkpoint")

    @cached_property
    def stage3(self) -> Clara:
        return self.load("checkpoint_stage3")

    def load(self, checkpoint: str) -> Clara:
        return Clara.from_pretrained(self.folder / checkpoint, dtype=self.facts["dtype"])

    def model(self, group: str) -> Clara:
        return self.stage3 if group == "stage3" else self.before_stage3

    def inputs(self, group: str) -> dict[str, Tensor]:
        """The keyword arguments of `forward` for a group such as `stage1_qa`."""
        names = {key.partition(".")[2]: key for key in self.expected if key.startswith(f"{group}.")}
        return {
            name: self.expected[key]
            for name, key in names.items()
            if name.endswith(("_input_ids", "_attention_mask")) or name == "labels"
        }

    def assert_close(self, actual: Tensor, name: str) -> None:
        """Within 1e-4 of the largest expected value (float32)."""
        expected = self.expected[name].float()
        assert actual.shape == expected.shape
        worst = (actual.detach().float() - expected).abs().max() / expected.abs().max()
        assert worst < self.tolerance(1e-4), f"{name}: relative difference {worst:.2e}"

    def tolerance(self, float32: float) -> float:
        """bfloat16 has 8 bits of mantissa, and a few layers add up."""
        return float32 if self.facts["dtype"] == "float32" else 0.05


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        folders = sorted(p.parent for p in CASES.glob("*/cases.json"))
        absent = pytest.param(
            None,
            id="absent",
            marks=pytest.mark.skip(reason=f"no vectors at {CASES}; set CLARA_SHARED"),
        )
        metafunc.parametrize(
            "case",
            [pytest.param(folder, id=folder.name) for folder in folders] or [absent],
            indirect=True,
            scope="session",
        )


@pytest.fixture(scope="session")
def case(request: pytest.FixtureRequest) -> Case:
    torch.set_num_threads(1)
    return Case(request.param)
