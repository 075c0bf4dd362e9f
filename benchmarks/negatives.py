"""Dense negatives against the bare matrix product: time and memory of 50 candidates a passage.

    python -m benchmarks.negatives                  # a sample of queries
    python -m benchmarks.negatives --queries all    # every passage asks

Both sides run in this process, one after the other in small turns, on the same blocks: what else
the machine does hits both alike, and processor seconds are told beside the clock's. The product
alone keeps nothing; ours finds, orders and masks.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from clara_model.nearest import ArrayVectors, NearestSearch
from tasks.negatives.blocks import BLOCK
from tasks.negatives.mine import Asked, Limits, relative_test
from tasks.negatives.strategies import VectorRanking, by_vectors

DIM = 384
COLUMNS = 8192  # passages of one block of the bare product


def main() -> None:
    """Measure, and write one JSON line."""
    options = _options()
    vectors = unit_vectors(options.passages, DIM)
    queries = options.passages if options.queries == "all" else int(options.queries)
    search = NearestSearch(ArrayVectors(vectors))
    bare, ours = [], []
    found = 0
    for start in range(0, queries, BLOCK):
        block = vectors[start : min(start + BLOCK, queries)]
        began = _now()
        bare_product(block, vectors)
        between = _now()
        found += mine_block(search, block, start, options.candidates)
        bare.append(between - began)
        ours.append(_now() - between)
    product, mining = np.sum(bare, axis=0), np.sum(ours, axis=0)
    result = {
        "passages": options.passages,
        "dimensions": DIM,
        "queries": queries,
        "candidates": found / queries,
        "product_s": round(float(product[0]), 2),
        "mining_s": round(float(mining[0]), 2),
        "ratio": round(float(mining[0] / product[0]), 3),
        "product_cpu_s": round(float(product[1]), 2),
        "mining_cpu_s": round(float(mining[1]), 2),
        "cpu_ratio": round(float(mining[1] / product[1]), 3),
        "peak_rss_gb": round(peak_rss_gb(), 3),
    }
    line = json.dumps(result)
    sys.stdout.write(line + "\n")
    if options.out:
        options.out.write_text(line + "\n", encoding="utf-8")


def unit_vectors(number: int, dim: int) -> np.ndarray:
    """Random vectors of unit length, float32."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((number, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def bare_product(queries: np.ndarray, vectors: np.ndarray) -> None:
    """The product of a block of queries with all vectors; the results are dropped."""
    out = np.empty((len(queries), COLUMNS), dtype=np.float32)
    for start in range(0, len(vectors), COLUMNS):
        part = vectors[start : start + COLUMNS]
        np.matmul(queries, part.T, out=out[:, : len(part)])


def mine_block(search: NearestSearch, queries: np.ndarray, first: int, count: int) -> int:
    """Candidates of a block: each passage asks for its neighbours, itself being the positive."""
    block = [Asked("", None, (first + i,), "") for i in range(len(queries))]
    rank = by_vectors(search, lambda _: queries, count)
    limits = Limits()
    found = 0
    for asked, ranking in zip(block, rank(block), strict=True):
        assert isinstance(ranking, VectorRanking)
        is_close = relative_test([ranking], asked.golds, limits.max_relative_score)
        taken = 0
        for position in ranking.order():
            if position not in asked.golds and not is_close(position):
                taken += 1
                if taken == count:
                    break
        found += taken
    return found


def _now() -> np.ndarray:
    """Seconds by the clock, and those that this process had a processor."""
    return np.array([time.perf_counter(), time.process_time()])


def peak_rss_gb() -> float:
    """The most memory this process ever had, in gigabytes."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / 1e6


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", default="5000", help="how many passages ask, or `all`")
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--out", type=Path, help="file for the result")
    return parser.parse_args()


if __name__ == "__main__":
    main()
