"""The plain implementation: right, short, and as one would write it first.

Documents (and questions, which are encoded by the same function) are padded to their maximal
length, the whole causal language model runs on them with all its hidden states and logits, the
answer's loss is the one that the model computes from `labels`, over logits of all positions, and
stage 3 compresses all candidates in every step. It works on the weights of the model that it is
compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.rows import Row
from clara_model import Clara
from clara_model.batches import pad_ids
from clara_model.encoding import (
    ENC_TOKEN,
    FRAME_TOKENS,
    IGNORED,
    Example,
    encode_example,
    memory_tokens,
    slots,
)
from clara_model.modeling.adapters import DECODER, ENCODER, QUERY_REASONER
from clara_model.prompts import answer_turn, list_qa_answer, list_qa_turn
from clara_model.topk import straight_through_topk


@dataclass
class StepResult:
    """What a step found and counted.

    Args:
        lm_loss: Mean over the step's labelled tokens.
        mse_loss: Mean over its documents; 0 in stage 3, which has none.
        norm: Of the gradients, before clipping.
        labelled: Tokens with a label.
        documents: Documents and candidates.
        positions: Tokens that the decoder reads, with padding.
        useful: Those that are not padding.
    """

    lm_loss: float = 0.0
    mse_loss: float = 0.0
    norm: float = 0.0
    labelled: int = 0
    documents: int = 0
    positions: int = 0
    useful: int = 0

    def count(self, attention_mask: Tensor) -> None:
        """Count an input of the decoder."""
        self.positions += attention_mask.numel()
        self.useful += int(attention_mask.sum())


class PlainTrainer:
    """Trains one stage with torch's AdamW, its rows in the order in which they come.

    The learning rate is 0: a step does all its work and leaves the weights as they are.

    Args:
        model: Whose weights are used; prepared for the stage.
        stage: "stage1", "stage2" or "stage3".
        micro_batch_size: Examples per forward pass.
    """

    def __init__(self, model: Clara, stage: str, micro_batch_size: int) -> None:
        self.model, self.stage, self.micro = model, stage, micro_batch_size
        self.tokenizer, self.config, self.decoder = model.tokenizer, model.config, model.decoder
        self.parameters = [parameter for _, parameter in model.trainable_parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=0.0, weight_decay=0.0)
        self._counts = StepResult()

    def step(self, rows: list[Row]) -> StepResult:
        """One optimizer step."""
        self.model.train()
        self._counts = result = StepResult(documents=sum(len(row["docs"]) for row in rows))
        parts = [rows[i : i + self.micro] for i in range(0, len(rows), self.micro)]
        batches = [self._prompts(part) for part in parts]
        result.labelled = sum(int((b["labels"][:, 1:] != IGNORED).sum()) for b in batches)
        for part, batch in zip(parts, batches, strict=True):
            lm_loss, mse_loss = self._losses(part, batch, result.labelled)
            share = len(part) / len(rows)
            loss = lm_loss
            if mse_loss is not None:
                loss = loss + self.config.mse_weight * mse_loss * share
                result.mse_loss += float(mse_loss.detach()) * share
            self._accumulate(loss)
            result.lm_loss += float(lm_loss.detach())
        result.norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, 1.0))
        self.optimizer.step()
        self.optimizer.zero_grad()
        return result

    def _accumulate(self, loss: Tensor) -> None:
        """What `loss.backward()` does, but for DeepSpeed's hooks on the parameters both share."""
        found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        for parameter, gradient in zip(self.parameters, found, strict=True):
            if gradient is not None:
                before = parameter.grad
                parameter.grad = gradient if before is None else before + gradient

    def compress(self, texts: list[str], adapter: str = ENCODER) -> tuple[Tensor, Tensor]:
        """Memories (documents, n, H) and the MSE loss."""
        batch = self._documents(texts)
        self.model.adapters.activate(adapter)
        output = self.decoder(
            inputs_embeds=self.model.embedding(batch["input_ids"]),
            attention_mask=batch["attention_mask"],
            output_hidden_states=True,
            use_cache=False,
        )
        hidden = output.hidden_states[-1]
        n = self.config.num_memory_tokens
        own = batch["attention_mask"][:, :-n].unsqueeze(-1).float()
        document = (hidden[:, :-n].float() * own).sum(dim=1) / own.sum(dim=1)
        memory = hidden[:, -n:]
        return memory, F.mse_loss(memory.float().mean(dim=1), document)

    def _losses(
        self, rows: list[Row], batch: dict[str, Tensor], labelled: int
    ) -> tuple[Tensor, Tensor | None]:
        documents = [document for row in rows for document in row["docs"]]
        mse: Tensor | None = None
        if self.stage == "stage3":
            with torch.no_grad():
                candidates, _ = self.compress(documents)
            memory = self._select([row["question"] for row in rows], candidates)
        else:
            memory, mse = self.compress(documents)
        is_memory = self.model.embedding.is_memory(batch["dec_input_ids"])
        embeds = self.model.embedding(batch["dec_input_ids"]).clone()
        embeds[is_memory] = memory.reshape(-1, memory.shape[-1]).to(embeds.dtype)
        self.model.adapters.activate(DECODER)
        output = self.decoder(
            inputs_embeds=embeds,
            attention_mask=batch["dec_attention_mask"],
            labels=batch["labels"],
            num_items_in_batch=labelled,  # of all micro-batches, so that cutting changes no loss
            use_cache=False,
        )
        return output.loss, mse

    def _select(self, questions: list[str], candidates: Tensor) -> Tensor:
        query, _ = self.compress(questions, QUERY_REASONER)
        documents = candidates.reshape(len(questions), -1, query[0].numel())
        scores = F.cosine_similarity(
            query.flatten(1).float().unsqueeze(1), documents.float(), dim=-1
        )
        selection, _ = straight_through_topk(
            scores, self.config.generation_top_k, self.config.topk_temperature
        )
        return (selection.to(documents.dtype) @ documents).unflatten(-1, query.shape[1:])

    def _documents(self, texts: list[str]) -> dict[str, Tensor]:
        tokenizer = self.tokenizer
        framed = [f"{ENC_TOKEN}{tokenizer.bos_token}{t}{tokenizer.eos_token}" for t in texts]
        batch = tokenizer(
            framed,
            add_special_tokens=False,
            padding="max_length",
            truncation=True,
            max_length=self.config.doc_max_length + FRAME_TOKENS,
            return_tensors="pt",
        )
        memory = torch.tensor(tokenizer.convert_tokens_to_ids(memory_tokens(self.config)))
        memory = memory.expand(len(texts), -1)
        padded = {
            "input_ids": torch.cat([batch["input_ids"], memory], dim=1),
            "attention_mask": torch.cat([batch["attention_mask"], torch.ones_like(memory)], dim=1),
        }
        return self._to_device(padded, "attention_mask")

    def _prompts(self, rows: list[Row]) -> dict[str, Tensor]:
        examples = [self._example(row) for row in rows]
        batch = pad_ids([example.input_ids for example in examples], self.tokenizer, "dec")
        width = batch["dec_input_ids"].shape[1]
        batch["labels"] = torch.tensor(
            [[IGNORED] * (width - len(e.labels)) + e.labels for e in examples]
        )
        return self._to_device(batch, "dec_attention_mask")

    def _example(self, row: dict[str, Any]) -> Example:
        if self.stage == "stage1":
            answer = list_qa_answer(row["question"], row["answers"])
            return encode_example(list_qa_turn(slots(self.config, 1)), answer, self.tokenizer)
        k = self.config.generation_top_k
        turn = answer_turn(slots(self.config, k), row["question"])
        return encode_example(turn, row["answer"], self.tokenizer)

    def _to_device(self, batch: dict[str, Tensor], mask: str) -> dict[str, Tensor]:
        self._counts.count(batch[mask])
        return {name: tensor.to(self.model.device) for name, tensor in batch.items()}
