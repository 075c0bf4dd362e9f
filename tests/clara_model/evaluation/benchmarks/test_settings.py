"""Candidates of the two settings, and the audit that no gold was slipped in."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from clara_model.errors import ConfigError, DataError
from clara_model.evaluation.benchmarks import (
    Document,
    audit_golds,
    build_setting,
    by_retriever,
    load_benchmark,
    pool_folder,
    pool_samples,
)

COLOURS = ["red", "green", "blue", "white", "black", "brown"]


@pytest.fixture
def benchmark(tmp_path):
    """Six questions; each comes with its gold and a passage about nothing."""
    rows = [
        {"question": f"Which house is {colour}?", "answer": f"house {i}", "pos_index": [1],
         "docs": [{"title": "", "text": f"Nothing {i}."},
                  {"title": f"House {i}", "text": f"The paint is {colour} there."}]}
        for i, colour in enumerate(COLOURS)
    ]  # fmt: skip
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return load_benchmark(path)


@pytest.fixture
def pool(benchmark):
    return pool_samples(benchmark.samples, "rows")


def blind(questions, passages, n):
    """A retriever that finds the first passages, whatever is asked."""
    return [list(range(min(n, len(passages)))) for _ in questions]


def test_pool_holds_each_passage_once(benchmark):
    again = replace(benchmark, samples=benchmark.samples * 2)
    assert len(pool_samples(again.samples, "x").documents) == 12
    sample = benchmark.samples[0]
    other = replace(sample, documents=(Document("HOUSE 0", "The  paint is red there."),))
    assert len(pool_samples((sample, other), "x").documents) == 2


def test_normal_takes_what_was_retrieved_best_first(benchmark, pool):
    asked, audit = build_setting(benchmark, "normal", pool, num_candidates=3)
    assert [one.candidates[0].text for one in asked] == [
        f"The paint is {c} there." for c in COLOURS
    ]
    assert {one.gold_positions for one in asked} == {(0,)}
    assert (audit.any_present, audit.all_present, audit.with_golds) == (6, 6, 6)
    assert "N 3 of 12 passages (rows)" in audit.words


def test_normal_with_a_blind_retriever_lacks_golds_and_says_so(benchmark, pool):
    asked, audit = build_setting(benchmark, "normal", pool, num_candidates=2, retrieve=blind)
    assert [one.gold_positions for one in asked] == [(1,)] + [()] * 5
    assert (audit.any_present, audit.questions) == (1, 6)


def test_oracle_holds_golds_and_n_candidates_even_with_a_blind_retriever(benchmark, pool):
    asked, audit = build_setting(benchmark, "oracle", pool, num_candidates=4, retrieve=blind)
    assert {len(one.candidates) for one in asked} == {4}
    assert audit.all_present == 6
    for one in asked:
        (gold,) = one.gold_positions
        assert one.candidates[gold].title == f"House {one.sample.id.removeprefix('row-')}"


def test_place_in_oracle_does_not_tell_the_gold(benchmark, pool):
    asked, _ = build_setting(benchmark, "oracle", pool, num_candidates=6)
    assert len({one.gold_positions for one in asked}) > 2
    assert build_setting(benchmark, "oracle", pool, num_candidates=6)[0] == asked


def test_audit_fails_if_normal_was_given_a_gold(benchmark, pool):
    asked, _ = build_setting(benchmark, "normal", pool, num_candidates=2, retrieve=blind)
    gold = asked[3].sample.documents[1]
    asked[3] = replace(asked[3], candidates=(asked[3].candidates[0], gold), gold_positions=(1,))
    with pytest.raises(DataError, match=r"given gold documents.*row-3"):
        audit_golds(asked, "normal", pool, num_candidates=2, retrieve=blind)


def test_oracle_rows_passed_off_as_normal_fail_the_audit(benchmark, pool):
    asked, _ = build_setting(benchmark, "oracle", pool, num_candidates=2)
    with pytest.raises(DataError, match="and 2 more"):
        audit_golds(asked, "normal", pool, num_candidates=2, retrieve=blind)


def test_audit_fails_if_oracle_lacks_a_gold(benchmark, pool):
    asked, _ = build_setting(benchmark, "oracle", pool, num_candidates=2)
    asked[0] = replace(asked[0], candidates=asked[0].candidates[:0], gold_positions=())
    with pytest.raises(DataError, match=r"oracle lacks.*row-0"):
        audit_golds(asked, "oracle", pool, num_candidates=2)


def test_more_golds_than_candidates_is_an_error(benchmark, pool):
    both = replace(benchmark.samples[0], gold_positions=(0, 1))
    with pytest.raises(ConfigError, match="2 gold documents, more than num_candidates 1"):
        build_setting(replace(benchmark, samples=(both,)), "oracle", pool, num_candidates=1)


def test_corpus_folder_takes_the_pools_place(benchmark, tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    lines = [{"title": "House 2", "contents": "The paint is blue there."}, {"contents": "More."}]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "b.txt").write_text("One paragraph.\n\nAnother one.\n\nMore.")
    pool = pool_folder(folder)
    assert len(pool.documents) == 4
    asked, audit = build_setting(benchmark, "normal", pool, num_candidates=4)
    assert [one.gold_positions != () for one in asked] == [False, False, True, False, False, False]
    assert (audit.pool, audit.any_present, audit.with_golds) == ("corpus", 1, 6)


def test_questions_without_documents_need_a_corpus(tmp_path):
    path = tmp_path / "nq.jsonl"
    path.write_text("\n".join(json.dumps({"question": q, "answer": "a"}) for q in "ab"))
    bare = load_benchmark(path)
    with pytest.raises(ConfigError, match="give a corpus folder"):
        build_setting(bare, "normal", pool_samples(bare.samples, "nq"))


def test_retriever_of_the_systems_ranks_the_whole_pool(benchmark, pool):
    from clara_model.evaluation.systems.retrievers import Bm25

    retrieve = by_retriever(Bm25())
    asked, _ = build_setting(benchmark, "normal", pool, num_candidates=3, retrieve=retrieve)
    assert {one.gold_positions for one in asked} == {(0,)}
