"""From rows to the keyword arguments of `Clara.forward`, one function for all stages."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from clara_model.config import ClaraConfig
from clara_model.encoding import (
    IGNORED,
    Example,
    encode_documents,
    encode_example,
    slots,
)
from clara_model.errors import DataError
from clara_model.prompts import (
    answer_turn,
    draw_instruction,
    list_qa_answer,
    list_qa_turn,
    paraphrase_turn,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def collate(
    rows: list[dict[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
    config: ClaraConfig,
    *,
    stage: str,
    generator_seed: int,
) -> dict[str, Tensor]:
    """Build one batch, padded on the left to its longest member.

    Args:
        rows: Rows of the stage's format (`clara_model.rows`). In stage 3 each may bring its
            documents' memories, (N, n, H), under `document_memory`; then nothing is compressed.
        tokenizer: The model's, from `load_tokenizer`.
        config: The model's.
        stage: "stage1", "stage2" or "stage3".
        generator_seed: Seeds what is drawn for this batch (paraphrase instructions).

    Returns:
        Keyword arguments of `Clara.forward` apart from `stage`: `dec_input_ids`,
        `dec_attention_mask`, `labels` (B, T); `enc_input_ids`, `enc_attention_mask` with one row a
        document, in row order, or `document_memory` (B, N, n, H); in stage 3 also
        `query_input_ids`, `query_attention_mask`.

    Raises:
        DataError: If there is no row, a document or answer is empty, or the rows of a stage 3
            batch differ in their number of candidates.
    """
    if not rows:
        raise DataError("cannot build a batch of no rows")
    if stage == "stage1":
        # A generator a row: its wording must not depend on how a batch is cut over ranks.
        examples = [
            _pretrain_example(
                row, tokenizer, config, random.Random(f"{generator_seed} {row['docs'][0]}")
            )
            for row in rows
        ]
    elif stage == "stage2":
        examples = [
            _answer_example(row, row["answer"], len(row["docs"]), tokenizer, config) for row in rows
        ]
    else:
        k = config.generation_top_k
        examples = [_answer_example(row, row["gold_answer"], k, tokenizer, config) for row in rows]
    batch = _pad_examples(examples, tokenizer)
    if stage == "stage3":
        _check_candidates(rows, config)
        batch |= pad_ids(
            encode_documents([row["question"] for row in rows], tokenizer, config),
            tokenizer,
            "query",
        )
        if "document_memory" in rows[0]:
            memory = torch.stack([torch.as_tensor(row["document_memory"]) for row in rows])
            return batch | {"document_memory": memory}
    documents = [document for row in rows for document in row["docs"]]
    return batch | pad_ids(encode_documents(documents, tokenizer, config), tokenizer, "enc")


def pad_ids(
    encoded: list[list[int]], tokenizer: PreTrainedTokenizerBase, prefix: str
) -> dict[str, Tensor]:
    """Left-padded `{prefix}_input_ids` and `{prefix}_attention_mask`, both (B, T) int64."""
    ids = _left_pad(encoded, tokenizer.pad_token_id)
    mask = _left_pad([[1] * len(row) for row in encoded], 0)
    return {f"{prefix}_input_ids": ids, f"{prefix}_attention_mask": mask}


def _pretrain_example(
    row: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    config: ClaraConfig,
    rng: random.Random,
) -> Example:
    slot = slots(config, len(row["docs"]))
    if row["data_type"] == "paraphrase":
        turn = paraphrase_turn(slot, draw_instruction(rng))
        return encode_example(turn, rng.choice(row["answers"]), tokenizer)
    answer = list_qa_answer(row["question"], row["answers"])
    return encode_example(list_qa_turn(slot), answer, tokenizer)


def _answer_example(
    row: dict[str, Any],
    answer: str,
    num_slots: int,
    tokenizer: PreTrainedTokenizerBase,
    config: ClaraConfig,
) -> Example:
    turn = answer_turn(slots(config, num_slots), row["question"])
    return encode_example(turn, answer, tokenizer)


def _check_candidates(rows: list[dict[str, Any]], config: ClaraConfig) -> None:
    counts = {len(row["docs"]) for row in rows}
    if len(counts) > 1:
        raise DataError(
            f"rows of one stage 3 batch have {sorted(counts)} candidates; batch rows with the same "
            "number together, or bring every row to the same number"
        )
    if min(counts) < config.generation_top_k:
        raise DataError(
            f"a row has {min(counts)} candidates, fewer than generation_top_k="
            f"{config.generation_top_k}; lower generation_top_k or add candidates"
        )


def _pad_examples(examples: list[Example], tokenizer: PreTrainedTokenizerBase) -> dict[str, Tensor]:
    batch = pad_ids([example.input_ids for example in examples], tokenizer, "dec")
    return batch | {"labels": _left_pad([example.labels for example in examples], IGNORED)}


def _left_pad(rows: list[list[int]], value: int) -> Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([[value] * (width - len(row)) + row for row in rows])
