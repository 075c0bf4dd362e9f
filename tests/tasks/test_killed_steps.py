"""kill -9 at random points of each data step, again and again: the same files in the end."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from killed_step import run_step
from PIL import Image
from scripted_endpoint import Endpoint, say, serve

FILES = {
    "extract": ("raw_knowledge.jsonl", "extracted_assets/*"),
    "caption": ("captions.jsonl",),
    "passages": ("passages.jsonl",),
    "synthesize": ("synthesis.jsonl", "rejected_replies.jsonl"),
    "mine": ("pretrain_data.jsonl", "instruction_data.jsonl", "end_to_end_data.jsonl",
             "clara_training_data.jsonl", "benchmark/*.jsonl", "audit.json"),
}  # fmt: skip
KILLS = 5
PICTURES = 6


def write_documents(folder: Path) -> None:
    """Four documents; one shows pictures that differ."""
    folder.mkdir()
    people = ("Mara Velin", "Ivo Tarn", "Agnete Moor", "Jorun Aske")
    for number, (person, place) in enumerate(zip(people, "ABCD", strict=True)):
        facts = [
            f"# House {place}",
            f"House {place} was founded by {person} in 19{10 + number}.",
            f"{person} was born in Port {place} in 18{60 + number}.",
            f"House {place} employs {20 + number} people and has {number + 3} towers.",
        ]
        if number == 0:
            for shown in range(PICTURES):
                Image.effect_noise((90 + shown, 90), 50).save(folder / f"view{shown}.png")
                facts.append(f"![](view{shown}.png)")
        (folder / f"house_{place}.md").write_text("\n\n".join(facts))


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def vision() -> Iterator[Endpoint]:
    with serve([say(json.dumps({"shown": "Grey noise without a subject."}))]) as server:
        yield server


@pytest.fixture(scope="module")
def config(vision: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("documents") / "input"
    write_documents(folder)
    return {
        "extraction": {"input": str(folder), "ocr": False},
        "captioning": {"base_url": vision.url, "model": "m", "ocr_hint": False, "concurrency": 2},
        "synthesis": {"concurrency": 4, "joint_share": 0.5, "unanswerable_share": 0.5},
        "model": {"doc_max_length": 64, "generation_top_k": 2},
        "negatives": {"num_candidates": 4, "strategies": {"bm25": 0.5, "random": 0.5}},
        "training": {"world": {"share": 0}},
        "execution": {"workers": 1},
    }


@pytest.fixture(scope="module")
def calm(
    config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, Path, int]]:
    """Each step undisturbed: the workspace before it, after it, and its changes to files."""
    root = tmp_path_factory.mktemp("calm")
    workspace = root / "workspace"
    write_tokenizer(workspace / "models" / "tokenizer")
    found = {}
    for step in FILES:
        shutil.copytree(workspace, root / f"before-{step}")
        changes = run_step(step, workspace, config)
        assert changes is not None
        shutil.copytree(workspace, root / f"after-{step}")
        found[step] = (root / f"before-{step}", root / f"after-{step}", changes)
    return found


def outputs(step: str, workspace: Path) -> dict[str, bytes]:
    paths = [path for pattern in FILES[step] for path in sorted(workspace.glob(pattern))]
    return {str(path.relative_to(workspace)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("step", FILES)
def test_a_step_killed_again_and_again_leaves_the_same_files(
    step: str,
    config: dict[str, Any],
    calm: dict[str, tuple[Path, Path, int]],
    vision: Endpoint,
    tmp_path: Path,
) -> None:
    before, after, changes = calm[step]
    workspace = tmp_path / "workspace"
    shutil.copytree(before, workspace)
    points = random.Random(step)
    asked = len(vision.bodies)
    ends = [run_step(step, workspace, config, points.randint(1, changes)) for _ in range(KILLS)]
    kills = ends.count(None)  # a run with little left to do may end before its point
    run_step(step, workspace, config)
    assert kills > 1
    expected = outputs(step, after)
    assert expected
    assert outputs(step, workspace) == expected
    if step == "caption":  # what was on its way when the step died, at most, is asked again
        assert len(vision.bodies) - asked <= PICTURES + 2 * kills
