from __future__ import annotations

import numpy as np
import pytest

from clara_model import nearest
from clara_model.nearest import ArrayVectors, NearestSearch
from clara_model.retrieval import best_first, top_positions


def unit(number: int, dim: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((number, dim), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_exact_search_in_blocks_finds_what_sorting_all_cosines_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors, queries = unit(1000, 32), unit(20, 32, seed=1)
    monkeypatch.setattr(nearest, "_BLOCK_BYTES", 4 * 32 * 130)  # eight blocks
    scores, places = NearestSearch(ArrayVectors(vectors)).search(queries, 7)
    cosines = queries @ vectors.T
    np.testing.assert_array_equal(places, np.argsort(-cosines, axis=1)[:, :7])
    np.testing.assert_allclose(scores, -np.sort(-cosines, axis=1)[:, :7], atol=1e-6)


def test_equal_vectors_come_by_position_and_no_more_than_there_are() -> None:
    vectors = np.repeat(unit(1, 8), 5, axis=0)
    scores, places = NearestSearch(ArrayVectors(vectors)).search(vectors[:1], 9)
    assert places.tolist() == [[0, 1, 2, 3, 4]]
    np.testing.assert_allclose(scores, 1.0, atol=1e-6)


@pytest.mark.parametrize("dim", [16, 600], ids=["short", "projected"])
def test_a_large_pool_is_searched_approximately_with_exact_scores(dim: int) -> None:
    centres = unit(20, dim, seed=2)
    vectors = unit(2000, dim) * 0.5 + centres[np.arange(2000) % 20]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exact = NearestSearch(ArrayVectors(vectors))
    near = NearestSearch(ArrayVectors(vectors), exact_up_to=100)
    wanted, found = exact.search(vectors[:50], 5), near.search(vectors[:50], 5)
    agreeing = [
        len(set(a) & set(b)) for a, b in zip(wanted[1].tolist(), found[1].tolist(), strict=True)
    ]
    assert sum(agreeing) >= 0.8 * 250
    for row in range(50):
        own = found[1][row]
        np.testing.assert_allclose(found[0][row], vectors[own] @ vectors[row], atol=1e-5)


@pytest.mark.parametrize("number", [5, 640, 5000])
@pytest.mark.parametrize("top_n", [1, 10, 77])
def test_top_positions_are_those_of_a_stable_sort(number: int, top_n: int) -> None:
    rng = np.random.default_rng(number)
    scores = (rng.integers(0, 50, number) / 7 * (rng.random(number) > 0.5)).astype(np.float32)
    expected = np.argsort(-scores, kind="stable")
    assert top_positions(scores, top_n).tolist() == expected[:top_n].tolist()
    assert list(best_first(scores, 8)) == [int(i) for i in expected if scores[i] > 0]
