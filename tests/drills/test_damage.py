"""Rows, manifests, caches, models and checkpoints with holes: the same command mends them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drill import STEPS_OF_STAGE2, Drill, MakeDrill, kill_tree, wait_until

pytestmark = pytest.mark.slow


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    path.write_bytes(b"\xff\x00\xfe garbage")


def flip(path: Path) -> None:
    """One bit of the byte in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture(scope="module")
def mended(copy_of_it: MakeDrill, tmp_path_factory: pytest.TempPathFactory) -> tuple[Drill, str]:
    """Everything damaged at once, in every way; then one `clara run`, and what it said."""
    drill = copy_of_it(tmp_path_factory.mktemp("damaged") / "of_it")
    root = drill.workspace
    cut(root / "manifests" / "mine.json")
    garble(root / "manifests" / "caption.json")
    flip_fingerprint(root / "manifests" / "passages.json")
    garble(root / "manifests" / ".hashes.json")
    flip(root / "synthesis.jsonl")
    cut(root / "pretrain_data.jsonl")
    garble(root / "instruction_data.jsonl")
    with (root / "rejected.jsonl").open("ab") as stream:
        stream.write(b"\xff\x00 garbage\n")
    replies = sorted(path for path in (root / "cache").glob("??/*.json"))
    for harm, path in zip((cut, garble, flip_reply), replies, strict=False):
        harm(path)
    flip(root / "models" / "stage3" / "adapters.safetensors")
    cut(min((root / "memory" / "store").glob("shard-*")))
    return drill, drill.run("run")


def flip_fingerprint(path: Path) -> None:
    """Still JSON, and still a manifest."""
    manifest = json.loads(path.read_text())
    manifest["fingerprint"] = "0" + manifest["fingerprint"][1:]
    manifest["fingerprint"] = manifest["fingerprint"][:-1] + "x"
    path.write_text(json.dumps(manifest))


def flip_reply(path: Path) -> None:
    """Still JSON, and still a reply: with another word."""
    entry = json.loads(path.read_text())
    entry["reply"]["text"] += " not"
    path.write_text(json.dumps(entry))


def test_rows_and_weights_are_again_those_of_an_undisturbed_run(
    undisturbed: Drill, mended: tuple[Drill, str]
) -> None:
    assert mended[0].results() == undisturbed.results()


@pytest.mark.parametrize("name", ["manifests/mine.json", "manifests/caption.json"])
def test_damaged_manifests_are_named(mended: tuple[Drill, str], name: str) -> None:
    assert f"{name} is damaged; its step will run again" in mended[1]


def test_damaged_replies_are_asked_again_and_no_others(mended: tuple[Drill, str]) -> None:
    drill, said = mended
    assert said.count("is damaged; its request is asked again") == 3
    manifest = json.loads((drill.workspace / "manifests" / "synthesize.json").read_text())
    assert manifest["counts"]["cache_damaged"] == 3
    assert manifest["counts"]["requests"] == 3


def test_damaged_memories_are_compressed_again(mended: tuple[Drill, str]) -> None:
    drill, _ = mended
    log = (drill.workspace / "logs" / "stage3" / "train.log").read_text()
    assert "is damaged; its documents are compressed again" in log


def test_a_second_run_finds_nothing_to_do(mended: tuple[Drill, str]) -> None:
    assert "Everything is up to date." in mended[0].run("run")


def test_training_passes_over_a_damaged_checkpoint(
    undisturbed: Drill, copy_of_it: MakeDrill, tmp_path: Path
) -> None:
    drill = copy_of_it(tmp_path / "of_it")
    drill.forget("stage2")
    (drill.workspace / "logs" / "stage2" / "metrics.jsonl").unlink()
    process = drill.start("train", "stage2")
    wait_until(lambda: len(drill.metric_lines("stage2")) > 11, process, "the checkpoint of step 10")
    kill_tree(process.pid)
    process.communicate()
    checkpoints = sorted((drill.workspace / "progress" / "stage2").glob("step-*"))
    flip(max(checkpoints[-1].rglob("*.pt"), key=lambda path: path.stat().st_size))
    said = drill.run("train", "stage2")
    assert f"{checkpoints[-1].name} is damaged" in said
    before = int(checkpoints[-1].name.removeprefix("step-")) - 5
    log = (drill.workspace / "logs" / "stage2" / "train.log").read_text()
    assert f"continuing after step {before} of {STEPS_OF_STAGE2}" in log
    assert drill.results() == undisturbed.results()
    steps = [json.loads(line)["step"] for line in drill.metric_lines("stage2")]
    assert steps == list(range(1, STEPS_OF_STAGE2 + 1))
