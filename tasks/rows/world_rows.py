"""Rows of the generated world, written beside the user's in the same formats."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from clara_model import world
from clara_model.errors import ConfigError
from clara_model.retrieval import Bm25Index
from configs.schema import PipelineConfig
from configs.training import StageSettings, WorldSettings
from tasks.storage import Record, write_json, write_jsonl
from tasks.workspace import Workspace

# The draw of test questions. Draw 0 was looked at while the quickstart's recipe was developed.
_BENCHMARK_DRAW = 1

# Paragraphs a question in HotpotQA's distractor setting.
_HOTPOT_CANDIDATES = 10

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.?!。？！]\s*")


def write_world(config: PipelineConfig, workspace: Workspace) -> int:
    """Write the world's training rows (split `train`) and benchmark rows (split `test`).

    Beside the benchmark's rows stand as many questions in HotpotQA's form, half of them two-hop,
    for other people's systems; the evaluation here does not read them.

    Returns:
        Number of rows written, the two settings of the benchmark counted once and HotpotQA's form
        not at all.

    Raises:
        ConfigError: If a row would need more candidates than one crowd of the world holds.
    """
    settings, folder = config.training.world, workspace.world
    seed, training = settings.seed, config.training
    candidates = config.negatives.num_candidates
    if candidates > 2 * world.GRID * world.GRID:
        raise ConfigError(
            f"negatives.num_candidates {candidates} exceeds the {2 * world.GRID * world.GRID} that "
            "the generated world can offer; lower it, or set training.world.share to 0"
        )
    share = config.training.stage1.paraphrase_share
    written = write_jsonl(
        folder / "pretrain_data.jsonl",
        world.stage1_rows(
            rows_needed(training.stage1, settings), seed, "train", paraphrase_share=share
        ),
    )
    written += write_jsonl(
        folder / "instruction_data.jsonl",
        world.stage2_rows(
            rows_needed(training.stage2, settings), seed, "train", config.model.generation_top_k
        ),
    )
    written += write_jsonl(
        folder / "end_to_end_data.jsonl",
        world.stage3_rows(rows_needed(training.stage3, settings), seed, "train", candidates),
    )
    draw = seed + _BENCHMARK_DRAW
    oracle = list(world.benchmark_rows(settings.benchmark_rows, draw, "test", candidates))
    hotpot = world.two_hop_rows(
        settings.benchmark_rows, draw, "test", _HOTPOT_CANDIDATES, one_hop_share=0.5
    )
    write_json(folder / "benchmark" / "hotpot_form.json", list(world.hotpot_records(hotpot)))
    write_jsonl(folder / "benchmark" / "normal.jsonl", normal_rows(oracle, candidates))
    return written + write_jsonl(folder / "benchmark" / "oracle.jsonl", oracle)


def rows_needed(stage: StageSettings, settings: WorldSettings) -> int:
    """Rows that a stage will draw from the world, so that none comes twice and none is idle.

    Candidates of idle rows would be compressed for nothing. At most `rows_per_stage`.
    """
    if stage.steps is None:
        return settings.rows_per_stage
    drawn = math.ceil(stage.steps * stage.batch_size * settings.share)
    return min(drawn, settings.rows_per_stage)


def normal_rows(oracle: Sequence[Record], top_n: int) -> Iterator[Record]:
    """The same questions over what BM25 finds among the candidates of all of them, best first.

    Rows are drawn from separate crowds, and two crowds may each have, say, an Ada Bell with other
    facts. A question about one must not meet the other: such namesakes are left out.
    """
    texts = list(dict.fromkeys(text for row in oracle for text in row["docs"]))
    places = {text: place for place, text in enumerate(texts)}
    index = Bm25Index(texts)
    named = [_name_pairs(text) for text in texts]
    for row in oracle:
        golds = {places[row["docs"][i]] for i in row["pos_index"]}
        own = {places[text] for text in row["docs"]}
        subjects = set().union(*(_subjects(texts[gold]) for gold in golds))
        found = []
        for hit in index.search(row["question"], len(texts)):
            if hit.position in own or not named[hit.position] & subjects:
                found.append(hit.position)
            if len(found) == top_n:
                break
        yield {
            **row,
            "docs": [texts[place] for place in found],
            "pos_index": [i for i, place in enumerate(found) if place in golds],
        }


def _subjects(document: str) -> set[tuple[str, str]]:
    """Whom a document tells of: neighbouring capitalised words that stand in every sentence."""
    sentences = [s for s in _SENTENCE_END.split(document) if s.strip()]
    return set.intersection(*(_name_pairs(sentence) for sentence in sentences))


def _name_pairs(text: str) -> set[tuple[str, str]]:
    return {(a, b) for a, b in pairwise(_WORD.findall(text)) if a[0].isupper() and b[0].isupper()}
