"""The world's questions in the form of HotpotQA's distractor setting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from clara_model.world.parsing import sentences_of, states, title_of


def hotpot_records(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Turn rows with golds (one hop or two) into records of the official form.

    Titles are the entities' names. The supporting fact of a document is the sentence that names
    the next document's entity, that of the last one the sentence that states the answer. `type`
    is always "bridge"; `level` is "easy" for one hop and "hard" for two. The sentences of a
    paragraph, joined, are the document. https://hotpotqa.github.io

    Args:
        rows: Rows as `two_hop_rows`, `stage3_rows`, `benchmark_rows` or `described_rows` give.

    Raises:
        ValueError: If a gold document does not state what it should.
    """
    for row in rows:
        titles = [title_of(document) for document in row["docs"]]
        context = [
            [title, sentences_of(document)]
            for title, document in zip(titles, row["docs"], strict=True)
        ]
        golds = [context[position] for position in row["pos_index"]]
        told = [*(title for title, _ in golds[1:]), row["gold_answer"]]
        yield {
            "_id": row["id"],
            "question": row["question"],
            "answer": row["gold_answer"],
            "type": "bridge",
            "level": "easy" if len(golds) == 1 else "hard",
            "supporting_facts": [
                [title, _sentence_with(sentences, value)]
                for (title, sentences), value in zip(golds, told, strict=True)
            ],
            "context": context,
        }


def _sentence_with(sentences: list[str], value: str) -> int:
    places = [i for i, sentence in enumerate(sentences) if states(sentence, value)]
    if len(places) != 1:
        raise ValueError(f"{value!r} stands in {len(places)} sentences of {''.join(sentences)!r}")
    return places[0]
