"""Lines name systems; names and keys are known before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clara_model.errors import CheckpointError, ConfigError
from clara_model.evaluation.systems import (
    ClosedBook,
    Opened,
    SystemOptions,
    open_system,
    plan_systems,
)


def key(spec: str, **options: object) -> str:
    from clara_model.evaluation.systems.interface import settings_key

    return settings_key(plan_systems([spec], SystemOptions(**options))[0].settings)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("bm25", "'bm25' writes no answers; choose one of closed-book"),
        ("text", "text needs a model"),
        ("clara", "clara needs a model"),
        ("text:x+bm25", "'text' cannot stand in front"),
        ("guess:x", "'guess' writes no answers"),
        ("openai:gpt", "'openai' writes no answers"),  # nobody brought its opener
    ],
)
def test_line_that_makes_no_sense_is_refused_with_what_there_is(spec: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("'", "'")):
        plan_systems([spec])


def test_names_are_the_line_with_short_folders(tiny_base: Callable[..., Path]) -> None:
    base = tiny_base()
    options = SystemOptions(model=str(base))
    names = [p.name for p in plan_systems(["closed-book", f"bm25+text:{base}"], options)]
    assert names == ["closed-book:base", "bm25+text:base"]


def test_folder_with_a_plus_sign_is_one_part(tmp_path: Path) -> None:
    plan = plan_systems([f"bm25+text:{tmp_path}/a+b"])[0]
    assert [part.kind for part in plan.parts] == ["bm25", "text"]
    assert plan.parts[1].model == f"{tmp_path}/a+b"


def test_key_follows_weights_and_settings_but_not_the_place(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    folder = checkpoint("stage2")
    spec = f"clara:{folder}"
    assert key(spec) == key(spec, device="cuda", memory_folder=tmp_path)
    others = [key(spec, k=1), key(spec, max_new_tokens=3), key(f"bm25+{spec}"),
              key(f"clara:{checkpoint('stage2', compr_rate=12)}")]  # fmt: skip
    assert len({key(spec), *others}) == 5
    before = key(spec)
    weights = next(folder.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes() + b" ")
    assert key(spec) != before


def test_k_is_the_checkpoints_unless_given(checkpoint: Callable[..., Path]) -> None:
    spec = f"clara:{checkpoint('stage3', generation_top_k=3)}"
    assert plan_systems([spec])[0].k == 3
    assert plan_systems([spec], SystemOptions(k=1))[0].k == 1


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a CLaRa checkpoint"):
        open_system(f"clara:{tmp_path / 'nothing'}")


def test_caller_brings_more_kinds_of_generators(tiny_base: Callable[..., Path]) -> None:
    base = str(tiny_base())

    def opener(model: str, options: SystemOptions) -> Opened:
        generator = open_system(f"closed-book:{base}", options).generator
        return Opened(lambda: generator, {"model": model, "url": "x"})

    plan = plan_systems(["bm25+mine:gpt"], openers={"mine": opener})[0]
    assert plan.settings["parts"] == [["bm25", None], ["mine", {"model": "gpt", "url": "x"}]]
    system = plan.open()
    assert isinstance(system.generator, ClosedBook)
    assert (system.name, system.slug) == ("bm25+mine:gpt", "bm25_mine_gpt")
