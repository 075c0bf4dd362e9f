"""Passages written anew: which are taken, what is kept, what is asked again, and BERTScore."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_encoder import save_tiny_encoder
from tiny_workspace import tiny_config, tiny_workspace

from configs.schema import PipelineConfig
from tasks.evaluation.benchmarks import load_benchmarks
from tasks.evaluation.entrants import list_entrants
from tasks.evaluation.reconstruct import (
    Rebuild,
    bert_key,
    bert_path,
    compare_by_meaning,
    plan_rebuilds,
    regenerate,
    stored_texts,
)
from tasks.evaluation.reconstruction import read_reconstruction, score_reconstruction
from tasks.storage import Record, read_records, write_jsonl
from tasks.workspace import Workspace


class Repeater:
    """Writes each passage back in capitals, and counts what it is asked; stops after some."""

    def __init__(self, stop_after: int = 99) -> None:
        self.asked: list[str] = []
        self.stop_after = stop_after

    def regenerate(self, documents: list[str], max_new_tokens: int) -> list[str]:
        if len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += documents
        return [text.upper() for text in documents]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny_encoder(tmp_path_factory.mktemp("encoder"))


def settings(workspace: Workspace, **evaluation: object) -> PipelineConfig:
    given = tiny_config(workspace).model_dump(mode="json")
    given["evaluation"] |= evaluation
    return PipelineConfig.model_validate(given)


def plan(config: PipelineConfig, workspace: Workspace, limit: int = 50) -> list[Rebuild]:
    benchmarks, entrants = load_benchmarks(config, workspace), list_entrants(config, workspace)
    return plan_rebuilds(workspace.evaluation, entrants, benchmarks, limit)


@pytest.fixture
def workspace(shared: Path, tmp_path: Path) -> Workspace:
    return tiny_workspace(tmp_path, shared, questions=3)


def test_each_model_writes_the_gold_passages_of_each_benchmark_once(workspace: Workspace) -> None:
    rebuilds = plan(settings(workspace), workspace)
    assert {(r.benchmark, r.entrant.id) for r in rebuilds} == {
        (b, s) for b in ("documents", "world") for s in ("stage1", "stage2", "stage3")
    }
    rows = read_records(workspace.world / "benchmark" / "oracle.jsonl")
    golds = {row["docs"][i] for row in rows for i in row["pos_index"]}
    assert all(set(r.passages) == golds for r in rebuilds if r.benchmark == "world")
    assert len({r.key for r in rebuilds}) == len(rebuilds)


def test_a_model_of_several_lines_is_asked_once_and_readers_of_text_never(
    workspace: Workspace,
) -> None:
    lines = ["base", "stage2", "bm25+clara:" + str(workspace.models / "stage2")]
    config = settings(workspace, systems=lines, held_out=["world"])
    assert [r.entrant.id for r in plan(config, workspace)] == ["clara_stage2"]


def test_a_smaller_limit_takes_fewer_of_the_same_and_none_at_zero(workspace: Workspace) -> None:
    config = settings(workspace, held_out=["world"])
    whole, part = plan(config, workspace)[0], plan(config, workspace, limit=1)[0]
    assert part.passages == whole.passages[:1]
    assert part.key != whole.key
    assert plan(config, workspace, limit=0) == []


def test_an_interrupted_model_goes_on_with_what_is_missing(
    workspace: Workspace, tmp_path: Path
) -> None:
    rebuild = plan(settings(workspace, held_out=["world"]), workspace)[0]
    first, second = Repeater(stop_after=1), Repeater()
    with pytest.raises(KeyboardInterrupt):
        regenerate(rebuild, first, tmp_path / "progress", 1, lambda _: None)  # type: ignore[arg-type]
    assert stored_texts(rebuild) is None
    regenerate(rebuild, second, tmp_path / "progress", 1, lambda _: None)  # type: ignore[arg-type]
    assert sorted(first.asked + second.asked) == sorted(rebuild.passages)
    rows = stored_texts(rebuild)
    assert rows is not None
    assert [row["original"] for row in rows] == list(rebuild.passages)
    assert all(row["regenerated"] == row["original"].upper() for row in rows)


def test_bert_score_stands_beside_the_texts_and_is_computed_once(
    workspace: Workspace, tmp_path: Path, encoder: str
) -> None:
    own = {"bert_score": True, "bert_score_model": encoder, "bert_score_layer": 2}
    config = settings(workspace, held_out=["world"], reconstruction=own)
    rebuild = plan(config, workspace)[0]
    regenerate(rebuild, Repeater(), tmp_path / "progress", 8, lambda _: None)  # type: ignore[arg-type]
    compare_by_meaning([rebuild], config.evaluation, lambda: "cpu")
    before = bert_path(rebuild.path).stat().st_mtime_ns
    compare_by_meaning([rebuild], config.evaluation, lambda: pytest.fail("computed again"))
    assert bert_path(rebuild.path).stat().st_mtime_ns == before
    entry = {"benchmark": "world", "system": "stage1", "key": rebuild.key,
             "bert_key": bert_key(rebuild.key, config.evaluation)}  # fmt: skip
    written = read_reconstruction(workspace.evaluation, {"reconstruction": [entry]})
    rows = score_reconstruction(written, [{"id": "stage1", "stage": "stage1"}], 50)
    metrics = {row["system"]: row["metrics"] for row in rows}
    scores = [row["f1"] for row in read_records(bert_path(rebuild.path))]
    mean = pytest.approx(sum(scores) / len(scores), abs=1e-4)
    assert metrics["stage1"]["reconstruction.bert_score"]["value"] == mean
    assert "reconstruction.bert_score" not in metrics["another"]
    # Capitals are the same words to ROUGE.
    assert metrics["stage1"]["reconstruction.rouge1"]["value"] == 1.0


def test_damaged_or_foreign_texts_are_asked_for_again(workspace: Workspace) -> None:
    rebuild = plan(settings(workspace, held_out=["world"]), workspace)[0]
    row = {"key": "another", "original": "a", "regenerated": "b"}
    write_jsonl(rebuild.path, [row] * len(rebuild.passages))
    assert stored_texts(rebuild) is None
    rebuild.path.write_text(json.dumps({**row, "key": rebuild.key}) + "\n{")
    assert stored_texts(rebuild) is None


def test_a_model_is_tested_against_another_passage_in_its_place() -> None:
    places = "Aldford Birkholm Corvane Dunmore Eastwick Farnham Gresham Harwick Innsford Jesmond"
    texts = [f"Ferry {i} sails to {place}" for i, place in enumerate(places.split())]

    def rows(write: Callable[[str], str]) -> dict[str, Record]:
        written = [{"original": text, "regenerated": write(text)} for text in texts]
        entry = {"benchmark": "world", "system": "stage1"}
        scored = score_reconstruction([(entry, written)], [{"id": "stage1", "stage": "stage1"}], 99)
        return {row["system"]: row for row in scored}

    # Of five words another passage shares three, in order.
    assert rows(str)["another"]["metrics"]["reconstruction.rougeL"]["value"] == pytest.approx(0.6)
    whole = rows(str)["stage1"]["above_floor"]
    assert whole["shown"]
    assert whole["value"] == pytest.approx(0.4)
    nothing = rows(lambda _: "")["stage1"]["above_floor"]
    assert nothing["shown"]
    assert nothing["value"] == pytest.approx(-0.6)
    assert not rows(lambda _: texts[0])["stage1"]["above_floor"]["shown"]
