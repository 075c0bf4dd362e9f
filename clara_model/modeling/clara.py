"""The model as one uses it: load, compress, represent, retrieve, answer, save."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from clara_model.batches import pad_ids
from clara_model.config import ClaraConfig
from clara_model.encoding import encode_documents, encode_prompt, slots
from clara_model.errors import DataError
from clara_model.modeling.adapters import DECODER, ENCODER, QUERY_REASONER
from clara_model.modeling.core import ClaraModule, ClaraOutput
from clara_model.modeling.generation import generate_greedy
from clara_model.modeling.loading import Attention, BaseOptions, Quantization
from clara_model.modeling.retrieval import cosine_scores
from clara_model.prompts import (
    PARAPHRASE_INSTRUCTIONS,
    answer_turn,
    full_text_turn,
    list_qa_turn,
    paraphrase_turn,
    question_line,
    render,
    render_started_answer,
)
from clara_model.topk import straight_through_topk
from clara_model.weights import Layout

__all__ = ["Clara", "ClaraOutput"]


class Clara(ClaraModule):
    """A CLaRa model; its training half is `ClaraModule`.

    Everything here works greedily, in eval mode and without gradients, and leaves the model's
    state (adapters, modes, `requires_grad`, top-k) as it found it.
    """

    @classmethod
    def from_base(
        cls,
        base_model: str | Path,
        config: ClaraConfig,
        dtype: torch.dtype | str | None = None,
        device: torch.device | str | None = None,
        *,
        attention: Attention | None = None,
        trust_remote_code: bool = False,
        quantization: Quantization = "none",
    ) -> Clara:
        """A fresh, untrained model around a decoder (a folder or a hub id).

        Args:
            base_model: The decoder.
            config: The model's.
            dtype: None for the base model's own.
            device: None for the CPU.
            attention: None or "auto" for FlashAttention 2 where it runs, else PyTorch's SDPA.
            trust_remote_code: Whether code that comes with the decoder may run.
            quantization: "8bit" or "4bit" for bitsandbytes' linear layers (QLoRA; needs a GPU).

        Raises:
            CheckpointError: If the decoder cannot be loaded.
            ConfigError: If an option cannot be had here; says what is missing.
        """
        from clara_model.checkpoint import build_from_base

        options = BaseOptions(dtype, device, attention or "auto", trust_remote_code, quantization)
        return build_from_base(base_model, config, options)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        base_model: str | Path | None = None,
        dtype: torch.dtype | str | None = None,
        device: torch.device | str | None = None,
        *,
        attention: Attention | None = None,
        trust_remote_code: bool = False,
        quantization: Quantization = "none",
    ) -> Clara:
        """Load a checkpoint in either layout.

        Args:
            folder: The checkpoint.
            base_model: The decoder's folder or hub id; None to follow the checkpoint's config.
            dtype: None for the base model's own.
            device: None for the CPU.
            attention: As in `from_base`, like the options below it.
            trust_remote_code: As in `from_base`.
            quantization: As in `from_base`.

        Raises:
            CheckpointError: If something is missing or belongs to another model.
            ConfigError: If an option cannot be had here; says what is missing.
        """
        from clara_model.checkpoint import load_checkpoint

        options = BaseOptions(dtype, device, attention or "auto", trust_remote_code, quantization)
        return load_checkpoint(Path(folder), base_model, options)

    def save_pretrained(self, folder: str | Path, layout: Layout = "safetensors") -> None:
        """Write a checkpoint folder, whole or not at all.

        Args:
            folder: Gets its weights and config; an older checkpoint there is replaced.
            layout: "safetensors" (ours), "ml-clara" (the authors'), or "auto-model": ours with the
                code and the base inside, for `AutoModel.from_pretrained` without this project.
        """
        from clara_model.checkpoint import save_checkpoint

        save_checkpoint(self, Path(folder), layout)

    @torch.no_grad()
    def compress_documents(self, documents: list[str], batch_size: int = 32) -> Tensor:
        """Memories of documents, (documents, n, H), in their order.

        Raises:
            DataError: If there is no document, or one is empty.
        """
        return self._encode(documents, ENCODER, batch_size)

    @torch.no_grad()
    def represent_queries(self, questions: list[str], batch_size: int = 32) -> Tensor:
        """Representations of questions, (questions, n * H), to be compared with memories."""
        return self._encode(questions, QUERY_REASONER, batch_size).flatten(1)

    def generate_from_questions(
        self,
        questions: list[str],
        documents: list[list[str]],
        max_new_tokens: int = 128,
        batch_size: int = 16,
    ) -> tuple[list[str], Tensor]:
        """Retrieve `generation_top_k` of each question's documents, then answer from them.

        Returns:
            The answers, and the chosen documents' positions (B, k), best first.
        """
        _check_lists(questions, documents, "documents")
        memory = self._compress_lists(documents)
        index = self.rank_memory(self.represent_queries(questions), memory)
        chosen = torch.stack([m[i] for m, i in zip(memory, index, strict=True)])
        answers = self.generate_from_memory(questions, chosen, max_new_tokens, batch_size)
        return answers, index

    @torch.no_grad()
    def rank_memory(self, queries: Tensor, memory: list[Tensor]) -> Tensor:
        """The best k of each question's memories.

        Args:
            queries: (B, n * H).
            memory: For each question (N, n, H); N may differ.

        Returns:
            Positions (B, k), best first.
        """
        k = self.config.generation_top_k
        fewest = min(len(candidates) for candidates in memory)
        if k > fewest:
            raise DataError(
                f"generation_top_k={k} but a question has only {fewest} documents; "
                "lower it in the config or give more documents"
            )
        index = []
        for query, candidates in zip(queries, memory, strict=True):
            documents = candidates.to(query.device).flatten(1)
            scores = cosine_scores(query.unsqueeze(0), documents.unsqueeze(0))
            index.append(straight_through_topk(scores, k, self.config.topk_temperature)[1][0])
        return torch.stack(index)

    def generate_from_text(
        self,
        questions: list[str],
        documents: list[list[str]],
        max_new_tokens: int = 128,
        batch_size: int = 16,
    ) -> list[str]:
        """Compress each question's documents and answer from all of them."""
        _check_lists(questions, documents, "documents")
        memory = self._compress_lists(documents)
        turns = [
            answer_turn(slots(self.config, len(m)), question)
            for m, question in zip(memory, questions, strict=True)
        ]
        prompts = [render(self.tokenizer, turn) for turn in turns]
        return self._generate(prompts, memory, max_new_tokens, batch_size)

    def generate_from_paraphrase(
        self,
        questions: list[str],
        documents: list[list[str]],
        max_new_tokens: int = 128,
        batch_size: int = 16,
    ) -> list[str]:
        """Compress documents and write them anew.

        A question that is not empty stands in the place of the paraphrase instruction.
        """
        _check_lists(questions, documents, "documents")
        memory = self._compress_lists(documents)
        turns = [
            paraphrase_turn(slots(self.config, len(m)), question or PARAPHRASE_INSTRUCTIONS[0])
            for m, question in zip(memory, questions, strict=True)
        ]
        prompts = [render(self.tokenizer, turn) for turn in turns]
        return self._generate(prompts, memory, max_new_tokens, batch_size)

    def generate_from_memory(
        self,
        questions: list[str],
        memory: Tensor,
        max_new_tokens: int = 128,
        batch_size: int = 16,
    ) -> list[str]:
        """Answer from compressed documents, memory (B, k, n, H)."""
        self._check_memory(questions, memory)
        slot = slots(self.config, memory.shape[1])
        prompts = [render(self.tokenizer, answer_turn(slot, question)) for question in questions]
        return self._generate(prompts, list(memory), max_new_tokens, batch_size)

    def answer_stage1(
        self,
        questions: list[str],
        memory: Tensor,
        max_new_tokens: int = 128,
        batch_size: int = 16,
    ) -> list[str]:
        """Ask a stage 1 model, which only knows lists of questions and answers.

        The assistant's turn is begun with the question, and the answer ends with the line.

        Args:
            questions: One for each row of `memory`.
            memory: (B, k, n, H).
            max_new_tokens: Upper bound of an answer.
            batch_size: Prompts at a time.
        """
        self._check_memory(questions, memory)
        turn = list_qa_turn(slots(self.config, memory.shape[1]))
        prompts = [
            render_started_answer(self.tokenizer, turn, question_line(question))
            for question in questions
        ]
        return self._generate(
            prompts, list(memory), max_new_tokens, batch_size, stop_at_newline=True
        )

    def answer_from_full_text(
        self,
        questions: list[str],
        documents: list[list[str]],
        max_new_tokens: int = 128,
        batch_size: int = 16,
    ) -> list[str]:
        """Answer with the bare decoder from plain text; `[]` for a question means closed book."""
        _check_lists(questions, documents, "documents")
        turns = [full_text_turn(d, q) for d, q in zip(documents, questions, strict=True)]
        prompts = [render(self.tokenizer, turn) for turn in turns]
        return self._generate(prompts, None, max_new_tokens, batch_size)

    @torch.no_grad()
    def _encode(self, texts: list[str], adapter: str, batch_size: int) -> Tensor:
        if isinstance(texts, str):
            raise DataError("give a list of texts, not one text")
        if not texts:
            raise DataError("nothing to encode: the list of texts is empty")
        encoded = encode_documents(texts, self.tokenizer, self.config)
        # Alike in length together: less padding.
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        parts = []
        with self.evaluating():
            for start in range(0, len(order), batch_size):
                chosen = [encoded[i] for i in order[start : start + batch_size]]
                batch = pad_ids(chosen, self.tokenizer, "enc")
                ids = batch["enc_input_ids"].to(self.device)
                mask = batch["enc_attention_mask"].to(self.device)
                parts.append(self.compress(ids, mask, adapter)[0])
        memory = torch.cat(parts)
        return memory[torch.tensor(order, device=memory.device).argsort()]

    def _compress_lists(self, documents: list[list[str]]) -> list[Tensor]:
        """Memories (k, n, H) of each question's documents; k may differ."""
        for i, texts in enumerate(documents):
            if isinstance(texts, str):
                raise DataError(f"the documents of question {i} are one text; give a list of texts")
            if not texts:
                raise DataError(f"question {i} has no documents; give it at least one")
        memory = self.compress_documents([text for texts in documents for text in texts])
        return list(memory.split([len(texts) for texts in documents]))

    @torch.no_grad()
    def _generate(
        self,
        prompts: list[str],
        memory: list[Tensor] | None,
        max_new_tokens: int,
        batch_size: int,
        *,
        stop_at_newline: bool = False,
    ) -> list[str]:
        """Continue prompts: by the decoder adapter from memories, or by the bare decoder."""
        encoded = [encode_prompt(prompt, self.tokenizer) for prompt in prompts]
        ends = self._end_ids()

        def is_end(token: int) -> bool:
            return token in ends or (stop_at_newline and "\n" in self.tokenizer.decode([token]))

        answers: list[str] = []
        with self.evaluating(), self.adapters.using(None if memory is None else DECODER):
            for start in range(0, len(encoded), batch_size):
                part = slice(start, start + batch_size)
                batch = pad_ids(encoded[part], self.tokenizer, "dec")
                ids = batch["dec_input_ids"].to(self.device)
                if memory is None:
                    embeds = self.embedding(ids)
                else:
                    vectors = torch.cat(memory[part]).to(self.device)
                    embeds = self.embedding.splice(ids, vectors)
                rows = generate_greedy(
                    self.decoder,
                    embeds,
                    batch["dec_attention_mask"].to(self.device),
                    embed=self.embedding,
                    logits=self.embedding.logits,
                    is_end=is_end,
                    max_new_tokens=max_new_tokens,
                )
                answers += self.tokenizer.batch_decode(rows, skip_special_tokens=True)
        return [a.partition("\n")[0].strip() for a in answers] if stop_at_newline else answers

    def _end_ids(self) -> set[int]:
        ends = self.decoder.generation_config.eos_token_id
        if ends is None:
            ends = self.tokenizer.eos_token_id
        return set(ends) if isinstance(ends, list) else {ends}

    def _check_memory(self, questions: list[str], memory: Tensor) -> None:
        _check_lists(questions, memory, "memory")
        if memory.ndim != 4 or memory.shape[2] != self.config.num_memory_tokens:
            raise DataError(
                f"memory has shape {tuple(memory.shape)}; expected (questions, documents, "
                f"{self.config.num_memory_tokens}, hidden size)"
            )


def _check_lists(questions: list[str], others: list[list[str]] | Tensor, name: str) -> None:
    if isinstance(questions, str):
        raise DataError("give a list of questions, not one text")
    if not questions:
        raise DataError("no questions given")
    if len(questions) != len(others):
        raise DataError(
            f"{len(questions)} questions but {len(others)} entries of {name}; "
            "give one entry for each question"
        )
