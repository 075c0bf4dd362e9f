"""The trainable model: one decoder that compresses, retrieves and answers under three adapters."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from clara_model.config import STAGES, ClaraConfig
from clara_model.encoding import memory_tokens
from clara_model.errors import ConfigError, DataError
from clara_model.losses import LOSS_CHUNK, answer_loss, memory_mse
from clara_model.modeling.adapters import DECODER, ENCODER, QUERY_REASONER, Adapters
from clara_model.modeling.compiling import compile_layers, uncompiled
from clara_model.modeling.embedding import MemoryEmbedding, positions
from clara_model.modeling.extra import ExtraWeights
from clara_model.modeling.retrieval import cosine_scores
from clara_model.topk import straight_through_topk

# Beside the adapters' names: what a stage can train.
MEMORY_TOKENS = "memory_tokens"


@dataclass  # without slots: DeepSpeed reads an output through vars()
class ClaraOutput:
    """What a forward pass gives.

    Args:
        loss: What to minimise.
        lm_loss: Cross entropy of the answer's tokens.
        mse_loss: Memory against document; None where nothing was compressed.
        logits: (B, T, V), only where asked for.
        topk_index: (B, k) selected candidates, best first; stage 3.
        scores: (B, N) cosine of query and candidates, float32; stage 3.
    """

    loss: Tensor
    lm_loss: Tensor
    mse_loss: Tensor | None = None
    logits: Tensor | None = None
    topk_index: Tensor | None = None
    scores: Tensor | None = None


class ClaraModule(nn.Module):
    """A decoder with a compressor, a generator and a query reasoner adapter, and their losses.

    The embeddings of the memory tokens are a parameter of their own, spliced in at lookup: an
    optimizer then cannot move any other row, whatever its weight decay or partitioning.

    Args:
        decoder: The language model, its vocabulary already grown by CLaRa's tokens.
        tokenizer: The decoder's, from `clara_model.encoding.load_tokenizer`.
        config: The model's.
        adapters: Names of the (fresh) adapters to add.
        base_path: Where the decoder was loaded from; None for a hub id.
    """

    def __init__(
        self,
        decoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        config: ClaraConfig,
        *,
        adapters: tuple[str, ...] = (ENCODER, DECODER),
        base_path: Path | None = None,
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.config = config
        self.base_path = base_path
        tokens = list(dict.fromkeys(memory_tokens(config)))
        first = tokenizer.get_vocab()[tokens[0]]
        self.embedding = MemoryEmbedding(decoder, first, len(tokens))
        self.extra = ExtraWeights(decoder)
        # Answer tokens whose logits are in memory at a time.
        self.loss_chunk = LOSS_CHUNK
        self._is_compiled = False
        self.adapters = Adapters(decoder, config)
        for i, name in enumerate(adapters):
            self.adapters.add(name, config.init_seed + i)
        self._set_trainable()
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.weight.device

    # Stages

    def prepare_stage(
        self,
        stage: str,
        *,
        query_init: Literal["encoder", "random"] = "encoder",
        train: Collection[str] | None = None,
    ) -> None:
        """Set what a stage trains; stage 3 adds the query reasoner where there is none.

        Args:
            stage: "stage1", "stage2" or "stage3".
            query_init: Start of a new query reasoner: a copy of the encoder adapter, or fresh.
            train: What learns, adapters by name and `MEMORY_TOKENS`; None for the stage's usual.
        """
        if stage not in STAGES:
            raise ConfigError(f"stage is {stage!r}; choose one of {', '.join(STAGES)}")
        if stage == "stage3" and QUERY_REASONER not in self.adapters.names:
            self.adapters.add(QUERY_REASONER, self.config.init_seed + 2)
            if query_init == "encoder":
                self.adapters.copy(ENCODER, QUERY_REASONER)
            self.train(self.training)  # the new layers follow the model's mode
        self.config.stage = stage
        self._set_trainable(train)

    def reset_adapter(self, name: str, seed: int | None = None) -> None:
        """Start an adapter anew (`decoder_init: fresh`, say)."""
        self.adapters.reset(name, self.config.init_seed if seed is None else seed)

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What the prepared stage trains."""
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                yield name, parameter

    def _set_trainable(self, train: Collection[str] | None = None) -> None:
        if train is None:
            last = self.config.stage == "stage3"
            # In stage 3 memory tokens stay: documents compressed before it remain valid.
            train = (QUERY_REASONER, DECODER) if last else (ENCODER, DECODER, MEMORY_TOKENS)
        self.requires_grad_(False)
        for name in set(train) - {MEMORY_TOKENS}:
            for _, parameter in self.adapters.parameters(name):
                parameter.requires_grad_(True)
        self.embedding.requires_grad_(self.config.optimize_mem_tokens and MEMORY_TOKENS in train)
        if self.config.stage != "stage3":
            for _, parameter in self.extra.parameters():
                parameter.requires_grad_(True)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute layers in the backward pass instead of keeping their activations."""

        def contexts() -> tuple[Any, Any]:
            # By the time of the backward pass another adapter is active than in this forward pass.
            return nullcontext(), self.adapters.using(self.adapters.active)

        self.decoder.activation_checkpointing_enable(
            {"use_reentrant": False, "context_fn": contexts}
        )

    def compile_decoder(self) -> None:
        """Compile the decoder's layers for training; `evaluating` runs them as they are.

        Raises:
            ConfigError: If the decoder does not say what its layers are.
        """
        compile_layers(self.decoder)
        self._is_compiled = True

    # Forward

    def forward(
        self,
        stage: str,
        dec_input_ids: Tensor,
        dec_attention_mask: Tensor,
        labels: Tensor,
        enc_input_ids: Tensor | None = None,
        enc_attention_mask: Tensor | None = None,
        query_input_ids: Tensor | None = None,
        query_attention_mask: Tensor | None = None,
        document_memory: Tensor | None = None,
        return_logits: bool = False,
    ) -> ClaraOutput:
        """Compute a stage's loss.

        Args:
            stage: "stage1", "stage2" or "stage3".
            dec_input_ids: Prompts with answers, (B, T).
            dec_attention_mask: (B, T), 0 on padding.
            labels: (B, T), -100 where there is nothing to learn.
            enc_input_ids: Documents, one row each, in the order of their slots (stage 3: of the
                candidates), (B * documents, T).
            enc_attention_mask: Of `enc_input_ids`.
            query_input_ids: Questions, (B, T); stage 3.
            query_attention_mask: Of `query_input_ids`.
            document_memory: (B, N, n, H), in place of `enc_*` in stage 3.
            return_logits: Whether to make the logits of all positions.

        Raises:
            ConfigError: If the stage is unknown, or an input that it needs is missing.
            DataError: If slots and memories do not match, or nothing is labelled.
        """
        if stage not in STAGES:
            raise ConfigError(f"stage is {stage!r}; choose one of {', '.join(STAGES)}")
        mse: Tensor | None
        index: Tensor | None = None
        scores: Tensor | None = None
        if stage == "stage3":
            memory, mse, index, scores = self._select(
                _given(query_input_ids, "query_input_ids"),
                _given(query_attention_mask, "query_attention_mask"),
                enc_input_ids,
                enc_attention_mask,
                document_memory,
            )
        else:
            with self._compressing():
                memory, mse = self.compress(
                    _given(enc_input_ids, "enc_input_ids"),
                    _given(enc_attention_mask, "enc_attention_mask"),
                )
        with self.adapters.using(DECODER):
            embeds = self.embedding.splice(dec_input_ids, memory)
            hidden = self.hidden_states(embeds, dec_attention_mask)
        logits = self.embedding.logits(hidden) if return_logits else None
        lm_loss = answer_loss(
            hidden,
            labels,
            self.embedding.logits,
            weights=self.embedding.trained_head(),
            chunk=self.loss_chunk,
        )
        loss = lm_loss
        if mse is not None and stage != "stage3":
            loss = lm_loss + self.config.mse_weight * mse
        return ClaraOutput(loss, lm_loss, mse, logits, index, scores)

    def compress(
        self, input_ids: Tensor, attention_mask: Tensor, adapter: str = ENCODER
    ) -> tuple[Tensor, Tensor]:
        """Memories (documents, n, H) and MSE loss of encoded documents (documents, T)."""
        with self.adapters.using(adapter):
            hidden = self.hidden_states(self.embedding(input_ids), attention_mask)
        is_memory = self.embedding.is_memory(input_ids)
        n = self.config.num_memory_tokens
        if (is_memory.sum(dim=1) != n).any():
            raise DataError(f"an encoded document must hold {n} memory tokens; use collate()")
        memory = hidden[is_memory].view(len(input_ids), n, -1)
        return memory, memory_mse(hidden, attention_mask, is_memory)

    def _select(
        self,
        query_ids: Tensor,
        query_mask: Tensor,
        enc_ids: Tensor | None,
        enc_mask: Tensor | None,
        document_memory: Tensor | None,
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """Memories of the selected documents (B, k, n, H), MSE, index (B, k), scores (B, N)."""
        mse: Tensor | None = None
        if document_memory is None:
            with self._compressing():
                document_memory, mse = self.compress(
                    _given(enc_ids, "enc_input_ids or document_memory"),
                    _given(enc_mask, "enc_attention_mask"),
                )
        query, _ = self.compress(query_ids, query_mask, adapter=QUERY_REASONER)
        documents = _by_question(document_memory, query)
        scores = cosine_scores(query.flatten(1), documents)
        k = self.config.generation_top_k
        if k > scores.shape[1]:
            raise DataError(
                f"generation_top_k={k} but only {scores.shape[1]} candidates; lower it or give more"
            )
        selection, index = straight_through_topk(scores, k, self.config.topk_temperature)
        selected = selection.to(documents.dtype) @ documents  # (B, k, n * H)
        return selected.unflatten(-1, query.shape[1:]), mse, index, scores

    @contextmanager
    def _compressing(self) -> Iterator[None]:
        """As it has to be for documents: a compressor that does not learn is left as it is."""
        if any(parameter.requires_grad for _, parameter in self.adapters.parameters(ENCODER)):
            yield
            return
        # Without dropout: the same memories as those that are read back from disk.
        with torch.no_grad(), self.evaluating():
            yield

    def hidden_states(self, embeds: Tensor, attention_mask: Tensor) -> Tensor:
        """Last hidden states, after the final norm, (B, T, H), under the active adapter."""
        output = self.decoder.base_model(
            inputs_embeds=embeds,
            attention_mask=attention_mask,
            position_ids=positions(attention_mask),
            use_cache=False,
        )
        return output.last_hidden_state

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Eval mode, then every submodule's own mode again."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            with uncompiled() if self._is_compiled else nullcontext():
                yield
        finally:
            for module, mode in modes:
                module.training = mode


def _by_question(memory: Tensor, query: Tensor) -> Tensor:
    """Flat memories (B, N, n * H) of the candidates of questions (B, n, H).

    Args:
        memory: (B, N, n, H), or as they were compressed, (B * N, n, H).
        query: Says B, n and H.
    """
    per_question = memory.ndim == 4 and len(memory) == len(query)
    in_a_row = memory.ndim == 3 and len(memory) % len(query) == 0
    if memory.shape[-2:] != query.shape[-2:] or not (per_question or in_a_row):
        raise DataError(
            f"memories of candidates have shape {tuple(memory.shape)} for {len(query)} questions; "
            f"expected (questions, candidates, {query.shape[1]}, {query.shape[2]})"
        )
    return memory.to(query).reshape(len(query), -1, query[0].numel())


def _given(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise ConfigError(f"this stage needs {name}; build the batch with collate()")
    return value
