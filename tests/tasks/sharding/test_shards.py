"""Shards of data steps: rows are the same whoever does them, and nothing finished is done twice."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from PIL import Image, ImageDraw
from pydantic import ValidationError
from scripted_endpoint import say, serve

from clara_model.errors import ConfigError
from configs.schema import ExecutionSettings, PipelineConfig
from configs.synthesis import SynthesisSettings
from tasks.captioning.caption import caption_images
from tasks.extraction.convert import extract_documents
from tasks.llm.embedded import serve_embedded
from tasks.negatives import blocks
from tasks.rows.build import mine_rows
from tasks.sharding.shards import (
    Done,
    FanOut,
    cut,
    may_be_shared,
    run_shards,
    share_of_endpoint,
    take_in,
)
from tasks.storage import Journal, read_records, write_jsonl
from tasks.synthesis.generate import synthesize
from tasks.workspace import Workspace

TOWNS = ["Osterly", "Norrin", "Pellane", "Ravel"]


class Elsewhere:
    """Does shards as another process would: pickled on the way there and back, in any order."""

    def __init__(self, shard_size: int, die_after: int | None = None) -> None:
        self.shard_size = shard_size
        self.die_after = die_after
        self.names: list[str] = []

    def run(self, name: str, work: Callable[[Any], Any], shards: Sequence[Any]) -> Iterator[Any]:
        for number, shard in enumerate(reversed(shards)):
            if number == self.die_after:
                raise KeyboardInterrupt
            self.names.append(name)
            call = cloudpickle.loads(cloudpickle.dumps((work, shard)))
            yield cloudpickle.loads(cloudpickle.dumps(call[0](call[1])))

    @property
    def fan_out(self) -> FanOut:
        return FanOut(self.run, self.shard_size, workers=2)


def double(numbers: tuple[int, ...]) -> Done:
    return Done({f"n{n}": {"value": 2 * n} for n in numbers}, {"done": len(numbers)})


def test_items_keep_their_order_when_cut() -> None:
    assert cut("abcde", 2) == [("a", "b"), ("c", "d"), ("e",)]
    assert cut([], 2) == []


def test_every_item_comes_into_the_journal_once_and_counts_are_summed(tmp_path: Path) -> None:
    with Journal(tmp_path / "step.jsonl", "f" * 64) as journal:
        counts = run_shards(
            "step", {f"n{n}": n for n in range(5)}, double, journal, Elsewhere(2).fan_out
        )
    lines = read_records(tmp_path / "step.jsonl")[1:]
    assert sorted(line["key"] for line in lines) == ["n0", "n1", "n2", "n3", "n4"]
    assert {line["key"]: line["record"]["value"] for line in lines}["n4"] == 8
    assert counts == {"done": 5}
    assert not list(tmp_path.rglob("*.shards/*"))


def test_what_is_finished_when_a_run_is_cut_off_is_not_done_again(tmp_path: Path) -> None:
    path = tmp_path / "step.jsonl"
    items = {f"n{n}": n for n in range(5)}
    with (
        pytest.raises(KeyboardInterrupt),
        Journal(path, "f" * 64) as journal,
    ):
        run_shards("step", items, double, journal, Elsewhere(2, die_after=1).fan_out)
    with Journal(path, "f" * 64) as journal:
        take_in(journal)
        assert sorted(journal.records) == ["n4"]


def test_a_shard_that_a_worker_left_behind_is_taken_in_and_others_are_removed(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "step.shards"
    write_jsonl(folder / f"{'f' * 16}-1.jsonl", [{"key": "n1", "record": {"value": 2}}])
    write_jsonl(folder / f"{'0' * 16}-1.jsonl", [{"key": "n2", "record": {"value": 99}}])
    (folder / f".{'f' * 16}-2.jsonl.tmp").write_text('{"key": "n3"')  # killed while writing
    with Journal(tmp_path / "step.jsonl", "f" * 64) as journal:
        take_in(journal)
        assert journal.records == {"n1": {"value": 2}}
    assert not list(folder.glob("*.jsonl"))


def write_documents(folder: Path, number: int) -> Path:
    folder.mkdir()
    for n in range(number):
        town = TOWNS[n % len(TOWNS)]
        text = f"# {town}\n\nThe harbour of {town} has pier {n}, {300 + n} metres long.\n"
        (folder / f"{n}.md").write_text(text)
    return folder


def test_extraction_in_shards_gives_the_same_rows(tmp_path: Path) -> None:
    source = write_documents(tmp_path / "in", 3)
    (source / "empty.md").write_text(" ")
    config = PipelineConfig.model_validate({"extraction": {"input": source}})
    here, there = Workspace(tmp_path / "here"), Workspace(tmp_path / "there")
    one = extract_documents(config, here)
    other = extract_documents(config, there, Elsewhere(2).fan_out)
    assert there.raw_knowledge.read_bytes() == here.raw_knowledge.read_bytes()
    assert other == one
    assert [reject.item for reject in other.rejects] == ["empty.md"]


def passage(number: int) -> dict[str, Any]:
    town = TOWNS[number % len(TOWNS)]
    return {
        "id": f"p{number}", "source": f"s{number // 4}.md", "page": number, "heading": "",
        "language": "en", "tokens": 14, "split": "benchmark" if number >= 8 else "train",
        "text": f"The harbour of {town} has pier {number}, {300 + number} metres long.",
    }  # fmt: skip


def test_synthesis_in_shards_gives_the_same_rows_and_costs(tmp_path: Path) -> None:
    config = PipelineConfig.model_validate({"synthesis": {"joint_share": 1.0}})
    results, spaces = [], []
    with serve_embedded() as url:
        for name, fan_out in (("here", None), ("there", Elsewhere(3).fan_out)):
            workspace = Workspace(tmp_path / name)
            write_jsonl(workspace.passages, map(passage, range(8)))
            results.append(synthesize(config, workspace, base_url=url, fan_out=fan_out))
            spaces.append(workspace)
    assert spaces[1].synthesis.read_bytes() == spaces[0].synthesis.read_bytes()
    assert results[1] == results[0]
    assert len(read_records(spaces[1].synthesis)) == 8


def test_captioning_in_shards_gives_the_same_rows_and_costs(tmp_path: Path) -> None:
    caption = {"title": "Rain", "visible_text": "mm", "shown": "Two bars", "key_facts": []}
    names = [f"{number}.png" for number in (5, 9, 3)]
    results, spaces = [], []
    with serve([say(json.dumps(caption))]) as endpoint:
        given = {"base_url": endpoint.url, "model": "eyes", "ocr_hint": False}
        config = PipelineConfig.model_validate({"captioning": given})
        for name, fan_out in (("here", None), ("there", Elsewhere(2).fan_out)):
            workspace = Workspace(tmp_path / name)
            workspace.extracted_assets.mkdir(parents=True)
            for picture in names:
                draw_bars(int(picture[0])).save(workspace.extracted_assets / picture)
            marks = "\n\n".join(f"[IMAGE_REF: extracted_assets/{picture}]" for picture in names)
            row = {"file_path": "x.pdf", "content": marks, "extracted_images": names}
            write_jsonl(workspace.raw_knowledge, [row])
            url = endpoint.url
            results.append(caption_images(config, workspace, base_url=url, fan_out=fan_out))
            spaces.append(workspace)
    assert spaces[1].captions.read_bytes() == spaces[0].captions.read_bytes()
    assert results[1] == results[0]
    assert results[0].counts["captioned"] == 3
    assert not list(spaces[1].progress.rglob("*.jsonl"))


def draw_bars(number: int) -> Image.Image:
    """A picture unlike those of other numbers."""
    image = Image.new("RGB", (160, 120), "white")
    pen = ImageDraw.Draw(image)
    for bit in range(8):
        if number >> bit & 1:
            pen.rectangle((bit * 20, 0, bit * 20 + 10, 119), fill=(200 - 20 * bit, 10 * bit, 90))
    return image


def asked(number: int) -> dict[str, Any]:
    pair = {"question": f"How long is pier {number}?", "answer": f"{300 + number} metres",
            "language": "en", "requests": ["r1"]}  # fmt: skip
    return {
        "passage_id": f"p{number}", "language": "en", "provider": "embedded", "model": "rules",
        "verification_model": "rules", "prompt_version": "9", "simple": [pair], "complex": [],
        "cross_lingual": [], "joint": [], "unanswerable": [], "paraphrase": None,
        "paraphrase_requests": [],
    }  # fmt: skip


def test_mining_in_blocks_elsewhere_gives_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 3)
    config = PipelineConfig.model_validate({
        "negatives": {"num_candidates": 4}, "model": {"generation_top_k": 2},
        "training": {"world": {"share": 0}},
    })  # fmt: skip
    elsewhere = Elsewhere(64)
    results, spaces = [], []
    for name, fan_out in (("here", None), ("there", elsewhere.fan_out)):
        workspace = Workspace(tmp_path / name)
        write_jsonl(workspace.passages, map(passage, range(12)))
        write_jsonl(workspace.synthesis, map(asked, range(12)))
        results.append(mine_rows(config, workspace, fan_out))
        spaces.append(workspace)
    assert len(elsewhere.names) == 5  # eight questions and four, three at a time
    for file in ("end_to_end_data.jsonl", "instruction_data.jsonl", "benchmark/oracle.jsonl"):
        assert (spaces[1].root / file).read_bytes() == (spaces[0].root / file).read_bytes()
    assert results[1] == results[0]


def test_all_workers_together_keep_to_an_endpoints_rates() -> None:
    settings = SynthesisSettings(
        concurrency=9, requests_per_minute=100, tokens_per_minute=None, base_url="http://x/v1"
    )
    share = share_of_endpoint(settings, Elsewhere(1).fan_out)
    assert (share.concurrency, share.requests_per_minute) == (4, 50)
    assert share.tokens_per_minute is None


@pytest.mark.parametrize("limit", [{"max_cost": 1.0}, {"max_requests": 10}])
def test_a_budget_is_kept_by_one_process(
    limit: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert not may_be_shared("synthesize", SynthesisSettings(**limit))
    assert "max_cost" in caplog.text
    assert may_be_shared("synthesize", SynthesisSettings())


def test_an_address_belongs_to_a_cluster() -> None:
    assert ExecutionSettings(task_runner="dask", address="tcp://head:8786").address
    with pytest.raises(ValidationError, match="set task_runner to dask or ray"):
        ExecutionSettings(task_runner="threads", address="tcp://head:8786")


@pytest.mark.parametrize("name", ["dask", "ray"])
def test_a_missing_engine_is_told_with_its_remedy(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.sharding.task import build_runner

    monkeypatch.setitem(sys.modules, f"prefect_{name}", None)
    with pytest.raises(ConfigError, match=rf"clara-pipeline\[{name}\]"):
        build_runner(ExecutionSettings(task_runner=name))
