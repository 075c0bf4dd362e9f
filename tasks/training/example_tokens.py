"""How many tokens an example of a stage has, from a sample of its rows or from the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clara_model.training.dataset import Dataset, Row
from clara_model.training.spec import TrainSpec
from tasks.workspace import Workspace

_SAMPLED_STEPS, _SAMPLED_ROWS = 16, 16  # rows whose tokens are counted: so many of so many steps
_FRAME = 40  # tokens of a prompt around documents, question and answer
_QUESTION, _ANSWER = 24, 24  # tokens, where there are no rows yet
_STAGE1_ANSWERS = 200  # the paper's sets: 158 tokens of simple answers, 254 of complex ones


@dataclass(frozen=True)
class Tokens:
    """Tokens of one example, on average and at most.

    Args:
        trained: Through which gradients flow: compressor, query reasoner and generator.
        largest: The same of the longest example.
        compressed_once: In all: of documents compressed before the stage, without gradients.
        measured: Whether from rows; else what the settings allow at most.
    """

    trained: float
    largest: int
    compressed_once: float
    measured: bool


def open_rows(spec: TrainSpec) -> Dataset | None:
    """The stage's rows as training would see them; None where they are not made yet.

    Raises:
        DataError: If they are there and wrong.
    """
    sources = [spec.documents, *([spec.world] if spec.world else [])]
    if not all(path.is_file() for path in sources):
        return None
    # Lengths decide the order of examples only, and counting all of them takes its time.
    return Dataset(spec.model_copy(update={"group_by_length": False}))


def count_examples(dataset: Dataset) -> int:
    """Rows that the stage trains on."""
    return dataset.sampler.num_documents + dataset.sampler.num_world


def distinct_documents(dataset: Dataset | None) -> int:
    """Documents that differ, over all that some step sees."""
    return len(set(dataset.documents())) if dataset else 0


def count_tokens(
    spec: TrainSpec, workspace: Workspace, dataset: Dataset | None, candidates: int
) -> Tokens:
    """Tokens of an example.

    Args:
        spec: The stage's.
        workspace: Where the tokenizer may be.
        dataset: The stage's rows; None where they are not made yet.
        candidates: Documents that a row of stage 3 will have.
    """
    if dataset is None:
        length = _example_tokens(spec, candidates)
        return Tokens(length, length, 0.0, measured=False)
    count = _token_counter(workspace)
    steps = range(0, dataset.num_steps, max(dataset.num_steps // _SAMPLED_STEPS, 1))
    rows = [row for step in steps for row in dataset.batch(step)[:_SAMPLED_ROWS]]
    lengths = [_row_tokens(spec, row, count) for row in rows]
    once = 0.0
    if _reads_memories(spec):
        texts = [row["docs"][0] for row in rows]
        once = distinct_documents(dataset) * _encoded(spec, texts, count) / len(texts)
    return Tokens(sum(lengths) / len(lengths), max(lengths), once, measured=True)


def _example_tokens(spec: TrainSpec, candidates: int) -> int:
    """Of an example whose row is not there yet: documents at their longest."""
    model = spec.model
    slots = model.doc_max_length // model.compr_rate
    document = model.doc_max_length + 3 + slots
    if spec.stage == "stage1":
        return document + _FRAME + slots + 1 + _STAGE1_ANSWERS
    read = _FRAME + model.generation_top_k * (slots + 1) + _QUESTION + _ANSWER
    if spec.stage == "stage2":
        return model.generation_top_k * document + read
    own = 0 if _reads_memories(spec) else candidates * document
    return own + _QUESTION + 3 + slots + read


def _row_tokens(spec: TrainSpec, row: Row, count: Callable[[str], int]) -> int:
    model = spec.model
    slots = model.doc_max_length // model.compr_rate
    if spec.stage == "stage1":
        asked = row["question"] if row["data_type"] == "qa" else []
        written = sum(count(text) + 3 for text in (*asked, *row["answers"]))
        return _encoded(spec, row["docs"], count) + _FRAME + slots + 1 + written
    written = count(row["question"]) + count(row.get("answer") or row["gold_answer"])
    generated = _FRAME + model.generation_top_k * (slots + 1) + written
    if spec.stage == "stage2":
        return _encoded(spec, row["docs"], count) + generated
    own = 0 if _reads_memories(spec) else _encoded(spec, row["docs"], count)
    return own + _encoded(spec, [row["question"]], count) + generated


def _encoded(spec: TrainSpec, texts: list[str], count: Callable[[str], int]) -> int:
    """Of texts as the compressor reads them."""
    model = spec.model
    extra = 3 + model.doc_max_length // model.compr_rate
    return sum(min(count(text), model.doc_max_length) + extra for text in texts)


def _reads_memories(spec: TrainSpec) -> bool:
    return spec.stage == "stage3" and not spec.training.train_compressor


def _token_counter(workspace: Workspace) -> Callable[[str], int]:
    """By the base's tokenizer if it is there, else a token for every four bytes."""
    path = workspace.models / "tokenizer" / "tokenizer.json"
    if not path.is_file():
        return lambda text: -(-len(text.encode()) // 4)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
