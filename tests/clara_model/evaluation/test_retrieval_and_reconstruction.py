from __future__ import annotations

from math import log2

import pytest

from clara_model.evaluation.metrics import score
from clara_model.evaluation.metrics.reconstruction import (
    find_names,
    find_numbers,
    reconstruction_scores,
)
from clara_model.evaluation.metrics.retrieval import ranking_scores

RANKING = [4, 2, 0, 1, 3]


def test_ndcg_weighs_places_and_is_1_for_the_best_order():
    gain = 1 / log2(3) + 1 / log2(6)
    best = 1 + 1 / log2(3)
    assert score("clara.ndcg@10", RANKING, [2, 3]) == pytest.approx(gain / best)
    assert score("clara.ndcg@10", RANKING, [2, 4]) == 1.0
    assert score("clara.ndcg@1", RANKING, [2, 3]) == 0.0
    assert score("clara.ndcg@10", RANKING, []) == 0.0


def test_candidate_ranked_twice_gains_once():
    assert score("clara.ndcg@3", [2, 2, 1], [2, 1]) == 1.0


def test_all_found_asks_for_every_gold():
    assert [score(f"clara.all_found@{k}", RANKING, [2, 3]) for k in (2, 4, 5)] == [0.0, 0.0, 1.0]
    assert score("clara.all_found@5", RANKING, []) == 0.0


def test_ranking_scores_hold_what_a_report_shows():
    scores = ranking_scores(RANKING, [2, 3], k=5)
    assert scores["recall@3"] == 0.5
    assert scores["recall@10"] == 1.0
    assert scores["mrr"] == 0.5
    assert set(scores) == {
        "recall@1", "recall@3", "recall@5", "recall@10", "mrr", "ndcg@10", "all_found@5",
    }  # fmt: skip


def test_rouge_is_that_of_the_package_for_english():
    from rouge_score.rouge_scorer import RougeScorer

    said, original = "The Beacon was lit in 1874, at dusk.", "In 1874 the old Beacon_tower was lit"
    theirs = RougeScorer(["rouge1", "rougeL"]).score(original, said)
    for kind in ("rouge1", "rougeL"):
        own = score(f"reconstruction.{kind}", said, [original])
        assert own == pytest.approx(theirs[kind].fmeasure)


def test_rouge_reads_chinese_by_character():
    assert score("reconstruction.rouge1", "京北在", ["北京在"]) == 1.0
    assert score("reconstruction.rougeL", "京北在", ["北京在"]) == pytest.approx(2 / 3)


def test_numbers_are_found_in_any_spelling():
    assert find_numbers("1,640 t in ２０１９, 3.5% of 007, v1.2.3") == {
        "1640", "2019", "3.5", "7", "1.2", "3",
    }  # fmt: skip


def test_names_are_capitalised_runs_and_titles_in_marks():
    text = (
        "Yesterday the ship left. Anna de Witt wrote 《海上》 for the Duke of York. The Auk sank."
    )
    assert find_names(text) == {"Anna de Witt", "海上", "Duke of York"}


def test_preservation_counts_names_and_numbers_kept():
    original = "In 1874 the keeper was Edda Marrow, with 12 men and Tom Hale."
    said = "edda marrow kept it with 12 men"
    assert score("reconstruction.numbers", said, [original]) == 0.5
    assert score("reconstruction.names", said, [original]) == 0.5
    assert score("reconstruction.entities", said, [original]) == 0.5


def test_scores_that_do_not_apply_are_left_out():
    assert set(reconstruction_scores("a cat", "the cat sat")) == {"rouge1", "rougeL"}
    assert "numbers" in reconstruction_scores("a cat", "the 2 cats")
