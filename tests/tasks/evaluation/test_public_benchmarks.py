"""Public benchmarks in the evaluation: by name or file, kept candidates, pools, audits."""

from __future__ import annotations

import json

import pytest

from clara_model.errors import ConfigError
from configs.schema import PipelineConfig
from tasks.evaluation.benchmarks import choose_documents, load_benchmarks
from tasks.evaluation.public import open_retrieve
from tasks.workspace import Workspace

COLOURS = ["red", "green", "blue", "white", "black", "brown"]


@pytest.fixture
def folder(tmp_path):
    rows = [
        {"question": f"Which house is {colour}?", "answers": [f"house {i}", f"no. {i}"],
         "ctxs": [{"title": f"House {i}", "text": f"Its paint is {colour}.", "isgold": True}]}
        for i, colour in enumerate(COLOURS)
    ]  # fmt: skip
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "some.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def load(folder, tmp_path, **evaluation):
    given = {"benchmarks": ["nq"], "benchmarks_folder": folder, "num_candidates": 3} | evaluation
    config = PipelineConfig.model_validate({"evaluation": given})
    return load_benchmarks(config, Workspace(tmp_path / "w"))


def test_both_settings_are_asked_with_titles_and_all_golds(folder, tmp_path):
    normal, oracle = load(folder, tmp_path)
    assert [(b.name, b.pool) for b in (normal, oracle)] == [("nq", "normal"), ("nq", "oracle")]
    sample = normal.samples[2]
    assert sample.candidates[0] == "House 2\nIts paint is blue."
    assert sample.golds == ("house 2", "no. 2")
    assert choose_documents(sample, "normal", 1) == [0] == list(sample.positives)
    assert normal.audit is not None
    assert (normal.audit.pool_size, normal.audit.any_present) == (6, 6)
    assert normal.public is not None
    assert normal.public.spec.metrics[0] == "orqa_nq.em"


def test_pool_is_the_whole_file_though_few_questions_are_asked(folder, tmp_path):
    normal, _ = load(folder, tmp_path, max_questions=2)
    assert len(normal.samples) == 2
    assert normal.audit is not None
    assert normal.audit.pool_size == 6


def test_candidates_are_kept_and_made_again_when_something_decisive_changes(
    folder, tmp_path, monkeypatch
):
    first = load(folder, tmp_path, settings=["normal"])
    monkeypatch.setattr("tasks.evaluation.public.open_retrieve", None)
    assert load(folder, tmp_path, settings=["normal"]) == first
    with pytest.raises(TypeError):
        load(folder, tmp_path, settings=["normal"], num_candidates=2)


def test_damaged_candidates_are_made_again(folder, tmp_path):
    first = load(folder, tmp_path, settings=["normal"])
    kept = tmp_path / "w/evaluation/candidates/nq.normal.jsonl"
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join([lines[0], *["{}"] * (len(lines) - 1)]))
    assert load(folder, tmp_path, settings=["normal"]) == first


def test_golds_put_into_kept_candidates_of_normal_do_not_stay_there(folder, tmp_path):
    first = load(folder, tmp_path, settings=["normal"], num_candidates=1)
    kept = tmp_path / "w/evaluation/candidates/nq.normal.jsonl"
    head, row, *others = [json.loads(line) for line in kept.read_text().splitlines()]
    given = {**row, "candidates": [["House 5", "Its paint is brown."]], "golds": [0]}
    kept.write_text("\n".join(map(json.dumps, [head, given, *others])))
    assert load(folder, tmp_path, settings=["normal"], num_candidates=1) == first


def test_corpus_folder_takes_the_pools_place(folder, tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "c.txt").write_text("One.\n\nTwo.")
    normal, oracle = load(folder, tmp_path, corpus=corpus)
    assert normal.audit is not None
    assert oracle.audit is not None
    assert (normal.audit.pool_size, normal.audit.any_present) == (2, 0)
    assert oracle.audit.all_present == 6


def test_file_given_twice_is_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="nq more than once"):
        load(folder, tmp_path, benchmarks=["nq", str(folder / "some.jsonl")])


def test_retriever_line_is_checked_by_the_settings(tmp_path):
    with pytest.raises(ValueError, match="retriever"):
        PipelineConfig.model_validate({"evaluation": {"retriever": "google"}})
    retrieve = open_retrieve("bm25", PipelineConfig(), Workspace(tmp_path))
    assert retrieve(["blue house"], ["a red door", "the blue house"], 1) == [[1]]
