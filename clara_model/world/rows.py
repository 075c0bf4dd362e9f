"""Rows about one entity at a time, in the formats of the three stages and of the benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from clara_model.world.entities import (
    Split,
    draw_crowd,
    draw_entity,
    draw_name,
    draw_rng,
    employed,
)

# Questions that share one crowd of candidates: compressing the candidates is what stage 3 costs.
QUESTIONS_PER_CROWD = 10
# A complex question has five answers for one wording, so that the loss is about the facts more than
# about how one asks for them: without, whole attributes never enter a small decoder's memory.
COMPLEX_SHARE = 0.5
# Most questions that ask for retrieval name nobody: words alone find only the others.
CODE_SHARE = 0.8


def stage1_rows(
    count: int,
    seed: int,
    split: Split,
    *,
    paraphrase_share: float = 0.0,
    complex_share: float = COMPLEX_SHARE,
    employer_share: float = 0.0,
) -> Iterator[dict[str, Any]]:
    """Rows of one document with its simple questions, a complex one, or another wording of it.

    Args:
        count: How many rows.
        seed: Names the world; the same seed gives the same rows.
        split: Whose names to use.
        paraphrase_share: Chance that a row is of type `paraphrase` instead of `qa`.
        complex_share: Chance that a row of questions holds one about all facts instead of one
            about each.
        employer_share: Chance that a person's document also names an employer.
    """
    for index in range(count):
        rng = draw_rng(seed, split, "stage1", index)
        entity = draw_entity(rng, split)
        # Without employers nothing is drawn for them: those rows are what they always were.
        if employer_share and entity.kind == "person" and rng.random() < employer_share:
            entity = employed(entity, draw_name(rng, "company", split))
        document = entity.document(rng)
        if rng.random() < paraphrase_share:
            kind, questions, answers = "paraphrase", [""], [entity.document(rng)]
            what = kind
        else:
            is_complex = rng.random() < complex_share
            pairs = [entity.complex_question(rng)] if is_complex else entity.questions(rng)
            kind, questions, answers = "qa", [q for q, _ in pairs], [a for _, a in pairs]
            what = "complex" if is_complex else "simple"
        yield {
            "id": f"world-{seed}-{split}-stage1-{index}",
            "origin": "world",
            "data_type": kind,
            "kind": what,
            "question": questions,
            "answers": answers,
            "docs": [document],
        }


def stage2_rows(count: int, seed: int, split: Split, num_docs: int = 1) -> Iterator[dict[str, Any]]:
    """Rows of one question and `num_docs` documents, one of which holds the answer."""
    for row in _question_rows("stage2", count, seed, split, num_docs, 1, 0.0):
        yield {**row, "answer": row["gold_answer"]}


def stage3_rows(
    count: int,
    seed: int,
    split: Split,
    num_candidates: int = 20,
    *,
    code_share: float = CODE_SHARE,
) -> Iterator[dict[str, Any]]:
    """Rows of one question and `num_candidates` documents whose names share words.

    Args:
        count: How many rows.
        seed: Names the world; the same seed gives the same rows.
        split: Whose names to use.
        num_candidates: Documents a row.
        code_share: Chance that a question gives a code instead of a name.
    """
    yield from _question_rows(
        "stage3", count, seed, split, num_candidates, QUESTIONS_PER_CROWD, code_share
    )


def benchmark_rows(
    count: int,
    seed: int,
    split: Split,
    num_candidates: int = 20,
    *,
    code_share: float = CODE_SHARE,
) -> Iterator[dict[str, Any]]:
    """Rows like those of stage 3, for measuring: other ids, other draws."""
    yield from _question_rows(
        "benchmark", count, seed, split, num_candidates, QUESTIONS_PER_CROWD, code_share
    )


def _question_rows(
    stage: str,
    count: int,
    seed: int,
    split: Split,
    num_docs: int,
    per_crowd: int,
    code_share: float,
) -> Iterator[dict[str, Any]]:
    rows = _endless_question_rows(stage, seed, split, num_docs, per_crowd, code_share)
    yield from islice(rows, count)


def _endless_question_rows(
    stage: str, seed: int, split: Split, num_docs: int, per_crowd: int, code_share: float
) -> Iterator[dict[str, Any]]:
    index = 0
    while True:
        rng = draw_rng(seed, split, stage, index)
        crowd = draw_crowd(rng, split, num_docs)
        documents = [entity.document(rng) for entity in crowd]
        asked = [
            (e, question, answer)
            for e, entity in enumerate(crowd)
            for question, answer in entity.questions(rng, code_share=code_share)
        ]
        for target, question, answer in rng.sample(asked, min(per_crowd, len(asked))):
            order = rng.sample(range(num_docs), num_docs)
            yield {
                "id": f"world-{seed}-{split}-{stage}-{index}",
                "origin": "world",
                "question": question,
                "docs": [documents[e] for e in order],
                "gold_answer": answer,
                "pos_index": [order.index(target)],
            }
            index += 1
