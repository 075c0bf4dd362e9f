"""Pretraining of the built-in decoder on the spot: one process, plain torch, resumable exactly."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
)

from clara_model.base.hops import TwoHopLessons
from clara_model.base.induction import write_induction_circuit
from clara_model.base.lessons import Lessons
from clara_model.base.lessons import Progress as LessonProgress
from clara_model.base.muon import Muon
from clara_model.base.reading import ANSWER_WEIGHT, Reader, Text
from clara_model.base.settings import BuiltInSettings
from clara_model.errors import ConfigError

log = logging.getLogger(__name__)

_DIGEST_BYTES = 32  # of the content after it, at the start of a checkpoint

# Once the lessons are done, every fifth step reads single documents: that is soon learnt.
_READ_EVERY = 5

STATE = "state.pt"
Progress = Callable[[dict[str, float]], None]


def pretrain_base(
    tokenizer_folder: Path,
    out_folder: Path,
    settings: BuiltInSettings,
    *,
    user_texts: list[str],
    world_share: float,
    device: torch.device | str = "cpu",
    on_progress: Progress | None = None,
) -> dict[str, float]:
    """Build a decoder, teach it to read, and save it with its tokenizer as a Hugging Face folder.

    A run that was cut off goes on from the last checkpoint, in the sibling folder `NAME.partial`,
    and ends with the very same weights; a checkpoint of other settings or texts is left aside.

    Args:
        tokenizer_folder: From `train_tokenizer`.
        out_folder: Appears when all is done, replacing what stood there.
        settings: Size and recipe.
        user_texts: The user's own texts, seen as plain text.
        world_share: Share of the drawn texts that tell of the made-up world, above 0.
        device: Where to compute; first weights and texts are the same everywhere.
        on_progress: Told `step`, `steps` and `loss` after every step.

    Returns:
        `steps`, `first_loss`, `last_loss`, `parameters`.

    Raises:
        ConfigError: If `world_share` is not above 0 and at most 1.
    """
    if not 0.0 < world_share <= 1.0:
        raise ConfigError(
            f"training.world.share is {world_share}; the built-in decoder needs the generated "
            "world to learn to read: choose a share above 0, up to 1"
        )
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    run = _Run(tokenizer, settings, user_texts, world_share, torch.device(device))
    partial = out_folder.with_name(f"{out_folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    run.restore(partial / STATE)
    while run.step < settings.steps:
        loss = run.train_step()
        if on_progress:
            on_progress({"step": run.step, "steps": settings.steps, "loss": loss})
        if run.step % settings.checkpoint_every == 0:
            run.save(partial / STATE)
    run.save(partial / STATE)
    _publish(run.model, tokenizer, partial, out_folder)
    return run.report()


def build_decoder(
    settings: BuiltInSettings, tokenizer: PreTrainedTokenizerBase
) -> LlamaForCausalLM:
    """A fresh decoder whose weights depend on the seed alone, input and output embeddings tied."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        intermediate_size=settings.ffn,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        head_dim=settings.head_dim or settings.hidden_size // settings.heads,
        rope_parameters={"rope_type": "default", "rope_theta": settings.rope_theta},
        attention_bias=settings.induction,  # a habit of looking back lies in biases
        max_position_embeddings=settings.max_position,
        initializer_range=settings.init_std,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = LlamaForCausalLM(config)
        if settings.induction:
            write_induction_circuit(model, settings.hops)
        return model


class _Run:
    """What a checkpoint must hold, and the step that changes it."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        settings: BuiltInSettings,
        user_texts: list[str],
        world_share: float,
        device: torch.device,
    ) -> None:
        def encode(text: str) -> list[int]:
            return list(tokenizer(text, add_special_tokens=False)["input_ids"])

        self.settings = settings
        self.reader = Reader(settings, encode, [encode(text) for text in user_texts], world_share)
        self.lessons = (TwoHopLessons if settings.hops > 1 else Lessons)(
            encode,
            seed=settings.seed,
            tokens=settings.lesson_tokens,
            goal=settings.lesson_goal,
            most_steps=settings.lesson_steps,
        )
        self.progress = LessonProgress(0 if settings.induction else len(self.lessons))
        self.device = device
        self.model = build_decoder(settings, tokenizer).train().to(device)
        self.optimizers = build_optimizers(self.model)
        self.rates = (settings.learning_rate, settings.embedding_rate)
        self.pad = int(tokenizer.pad_token_id)
        self.step = 0
        self.first_loss = self.last_loss = float("nan")
        self.identity = _identity(tokenizer, settings, user_texts, world_share)

    def train_step(self) -> float:
        """One optimizer step; returns its loss."""
        texts, is_current = self._texts()
        ids, weights = (tensor.to(self.device) for tensor in _pad(texts, self.pad))
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * _rate(self.step, self.settings)
        loss, right = weighted_loss(self.model, ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if is_current and self.lessons.mark(self.progress, right):
            log.info("lesson %d done after step %d", self.progress.lesson, self.step + 1)
        self.step += 1
        self.last_loss = float(loss.detach())
        if self.step == 1:
            self.first_loss = self.last_loss
        return self.last_loss

    def _texts(self) -> tuple[list[Text], bool]:
        """The step's texts, and whether they are of a lesson that is still to be mastered."""
        settings = self.settings
        if not settings.induction:
            return self.reader.batch(self.step), False
        if self.progress.lesson < len(self.lessons):
            if self.step < settings.lesson_share * settings.steps:
                return self.lessons.batch(self.step, self.progress)
            log.warning("lesson %d is not mastered in time", self.progress.lesson + 1)
            self.progress.lesson = len(self.lessons)
        if self.step % _READ_EVERY:
            return self.lessons.several_documents(self.step), False
        return self.reader.batch(self.step), False

    def save(self, path: Path) -> None:
        # Nothing random is left to save: texts follow from seed and step, and there is no dropout.
        state = {
            "identity": self.identity,
            "step": self.step,
            "first_loss": self.first_loss,
            "last_loss": self.last_loss,
            "lessons": asdict(self.progress),
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        fresh = path.with_suffix(".new")
        packed = io.BytesIO()
        torch.save(state, packed)
        content = packed.getbuffer()
        fresh.write_bytes(hashlib.sha256(content).digest() + content)
        os.replace(fresh, path)

    def restore(self, path: Path) -> None:
        if not path.is_file():
            return
        stored = path.read_bytes()
        digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            log.warning("%s is damaged; pretraining starts anew", path)
            return
        state = torch.load(io.BytesIO(content), map_location=self.device, weights_only=True)
        if state["identity"] != self.identity:
            log.warning("%s belongs to other settings or texts; pretraining starts anew", path)
            return
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.progress = state["step"], LessonProgress(**state["lessons"])
        self.first_loss, self.last_loss = state["first_loss"], state["last_loss"]
        log.info("pretraining goes on after step %d", self.step)

    def report(self) -> dict[str, float]:
        return {
            "steps": self.step,
            "first_loss": round(self.first_loss, 4),
            "last_loss": round(self.last_loss, 4),
            "parameters": sum(p.numel() for p in self.model.parameters()),
        }


def weighted_loss(model: LlamaForCausalLM, ids: Tensor, weights: Tensor) -> tuple[Tensor, float]:
    """Mean cross entropy of the next token, each counted by its weight.

    Args:
        model: The decoder.
        ids: (B, T), padded on the right.
        weights: (B, T), of each token as something to predict; 0 on padding.

    Returns:
        The loss, and the share of answer tokens that were guessed right.
    """
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    counted = weights[:, 1:] > 0
    # Only what counts goes through the output layer, the widest of all.
    logits = model.lm_head(hidden[counted])
    targets, counts = ids[:, 1:][counted], weights[:, 1:][counted]
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    right = (logits.argmax(-1) == targets)[counts == ANSWER_WEIGHT].float().mean()
    return (losses * counts).sum() / weights[:, 1:].sum(), float(right)


def build_optimizers(model: LlamaForCausalLM) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for the matrices inside the blocks, AdamW for the tied embeddings and the norms."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return Muon(matrices), torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=0.0)


def _pad(texts: list[Text], pad: int) -> tuple[Tensor, Tensor]:
    """Ids and weights (B, T). Padding is on the right, where causal attention never sees it."""
    width = max(len(text.ids) for text in texts)
    ids = torch.tensor([text.ids + [pad] * (width - len(text.ids)) for text in texts])
    weights = torch.tensor([t.weights + [0.0] * (width - len(t.weights)) for t in texts])
    return ids, weights


def _rate(step: int, settings: BuiltInSettings) -> float:
    """Linear warm-up, a plateau, and a linear fall to nothing."""
    warm = (step + 1) / max(1, settings.warmup_steps)
    fall = (settings.steps - step) / max(1.0, settings.steps * settings.decay_share)
    return min(1.0, warm, fall)


def _identity(
    tokenizer: PreTrainedTokenizerBase,
    settings: BuiltInSettings,
    user_texts: list[str],
    world_share: float,
) -> str:
    told = json.dumps(
        [settings.model_dump(), user_texts, world_share, tokenizer.get_vocab()], sort_keys=True
    )
    return hashlib.sha256(told.encode()).hexdigest()


def _publish(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, partial: Path, out_folder: Path
) -> None:
    ready = partial / "ready"
    shutil.rmtree(ready, ignore_errors=True)
    model.eval().save_pretrained(ready)
    tokenizer.save_pretrained(ready)
    shutil.rmtree(out_folder, ignore_errors=True)
    os.replace(ready, out_folder)
    shutil.rmtree(partial)
