"""How many tokens an example takes, counted when its turn comes."""

from __future__ import annotations

from array import array
from functools import cached_property
from typing import TYPE_CHECKING, Any

from clara_model.encoding import FRAME_TOKENS, load_tokenizer
from clara_model.prompts import list_qa_answer
from clara_model.training.grouping import Cost
from clara_model.training.spec import TrainSpec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Row = dict[str, Any]

_UNKNOWN = -1


class ExampleLengths:
    """Tokens of rows, counted once and kept in eight bytes each.

    What all examples share (the prompt's frame) is left out, and of a paraphrase's wordings the
    first is counted: close enough to bring examples of like length together.

    Args:
        sources: The rows of documents and world.
        spec: Names the tokenizer, the stage and the lengths.
    """

    def __init__(self, sources: tuple[list[Row], list[Row]], spec: TrainSpec) -> None:
        self._sources, self._spec = sources, spec
        self._known = [(_unknown(rows), _unknown(rows)) for rows in sources]

    def __call__(self, source: int, rows: list[int]) -> list[Cost]:
        """Costs of some rows of a source, in their order."""
        compressor, generator = self._known[source]
        missing = [row for row in rows if generator[row] == _UNKNOWN]
        if missing:
            examples = [self._sources[source][row] for row in missing]
            counts = zip(self._compressed(examples), self._generated(examples), strict=True)
            for row, (read, written) in zip(missing, counts, strict=True):
                compressor[row], generator[row] = read, written
        return [Cost(compressor[row], generator[row]) for row in rows]

    def _compressed(self, examples: list[Row]) -> list[int]:
        """What compressor and query reasoner read, padding within a row's documents included."""
        model = self._spec.model
        if self._reads_memories:
            texts = [[example["question"]] for example in examples]
        else:
            texts = [example["docs"] for example in examples]
        counts = iter(self._count([text for group in texts for text in group]))
        extra = FRAME_TOKENS + model.doc_max_length // model.compr_rate
        return [
            len(group) * (max(min(next(counts), model.doc_max_length) for _ in group) + extra)
            for group in texts
        ]

    def _generated(self, examples: list[Row]) -> list[int]:
        return self._count([_written(example, self._spec.stage) for example in examples])

    @property
    def _reads_memories(self) -> bool:
        spec = self._spec
        return spec.stage == "stage3" and not (
            spec.memory is None or spec.training.train_compressor
        )

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        spec = self._spec
        return load_tokenizer(
            str(spec.base), spec.clara_config(), trust_remote_code=spec.model.trust_remote_code
        )

    def _count(self, texts: list[str]) -> list[int]:
        encoded = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        return [len(ids) for ids in encoded]


def _unknown(rows: list[Row]) -> array[int]:
    return array("i", [_UNKNOWN]) * len(rows)


def _written(row: Row, stage: str) -> str:
    """The part of the generator's text that differs between rows."""
    if stage == "stage1":
        if row["data_type"] == "paraphrase":
            return str(row["answers"][0])
        return list_qa_answer(row["question"], row["answers"])
    answer = row["answer" if stage == "stage2" else "gold_answer"]
    return f"{row['question']} {answer}"
