"""Repositories as the authors release them: a checkpoint a rate, a decoder named by their path."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from clara_model.errors import CheckpointError, ConfigError
from clara_model.evaluation.systems import SystemOptions, open_system, plan_systems
from clara_model.evaluation.systems.shelf import ModelShelf

GONE = "/mnt/somewhere/model/mistralai/Mistral-7B-Instruct-v0.2"


@pytest.fixture
def repository(tmp_path: Path, checkpoint: Callable[..., Path]) -> Path:
    """One rate, in the released layout; its decoder's path is of another machine."""
    folder = tmp_path / "CLaRa-7B-E2E"
    folder.mkdir()
    (folder / "README.md").write_text("no model")
    shutil.move(checkpoint("stage3", layout="ml-clara"), folder / "compression-16")
    path = folder / "compression-16" / "config.json"
    config = {**json.loads(path.read_text()), "decoder_model_name": GONE}
    path.write_text(json.dumps(config))
    return folder


def test_the_only_rate_of_a_repository_is_taken(repository: Path) -> None:
    for spec in (f"clara:{repository}", f"clara:{repository / 'compression-16'}"):
        plan = plan_systems([spec], SystemOptions(missing_base="org/decoder"))[0]
        assert plan.parts[0].model == str(repository / "compression-16")
        assert plan.name == "clara:CLaRa-7B-E2E/compression-16"
        assert plan.retrieves


def test_several_rates_are_told_apart_by_the_user(repository: Path) -> None:
    shutil.copytree(repository / "compression-16", repository / "compression-128")
    with pytest.raises(
        ConfigError, match=r"several checkpoints; name one: .*compression-128, .*-16"
    ):
        plan_systems([f"bm25+text:{repository}"])


def test_a_decoder_that_is_not_here_is_named_with_its_remedy(repository: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"config.json: .*{GONE}.*evaluation.base_model="):
        _ = plan_systems([f"clara:{repository}"])[0].settings


def test_another_folder_stands_in_for_it_alone(
    repository: Path, checkpoint: Callable[..., Path], tiny_base: Callable[..., Path]
) -> None:
    base = str(tiny_base(tie_word_embeddings=True))
    options = SystemOptions(missing_base=base, k=1, max_new_tokens=2)
    system = open_system(f"clara:{repository}", options)
    assert len(system.answer(["Where?"], [["Ada Lark was born in Orford."]])) == 1
    whole = checkpoint("stage2")
    path = whole / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "decoder_model_name": base}))
    other = SystemOptions(missing_base="org/another")
    assert ModelShelf(other).base(str(whole)) == base
    assert ModelShelf(other).base(str(repository / "compression-16")) == "org/another"
