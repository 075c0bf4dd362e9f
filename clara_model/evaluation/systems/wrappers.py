"""Generators around other people's models: LLMLingua-2 in front of one, PISCO and COCOM."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from clara_model.errors import CheckpointError, ConfigError, DataError
from clara_model.evaluation.systems.batching import in_batches
from clara_model.evaluation.systems.interface import Generator
from clara_model.evaluation.systems.opening import LINGUA_MODEL


@dataclass(frozen=True)
class Lingua:
    """LLMLingua-2: drops words of the documents before another generator reads them as text.

    Args:
        compressor: A `llmlingua.PromptCompressor` with `use_llmlingua2`.
        generator: Reads what is left; one that reads text.
        rate: Share of the tokens to keep.
    """

    compressor: Any
    generator: Generator
    rate: float = 0.25
    _held: dict[str, str] = field(default_factory=dict, repr=False)

    def prepare(self, texts: Iterable[str]) -> None:
        """Shorten those documents that are not shortened yet, one by one."""
        for text in dict.fromkeys(texts):
            if text not in self._held:
                self._held[text] = self._shorten(text)

    def answer(
        self,
        questions: list[str],
        documents: Sequence[Sequence[str]],
        max_new_tokens: int | None = None,
    ) -> list[str]:
        """Answer from the shortened documents."""
        return self.generator.answer(questions, self.shortened(documents), max_new_tokens)

    def shortened(self, documents: Sequence[Sequence[str]]) -> list[list[str]]:
        """The documents as the generator gets them."""
        self.prepare(text for texts in documents for text in texts)
        return [[self._held[text] for text in texts] for texts in documents]

    def prompt_tokens(self, questions: list[str], documents: Sequence[Sequence[str]]) -> list[int]:
        """What the generator reads of the shortened documents."""
        return self.generator.prompt_tokens(questions, self.shortened(documents))

    def stored_bytes(self, texts: Sequence[str]) -> int:
        """The shortened texts, in UTF-8."""
        return sum(len(text.encode()) for text in self.shortened([texts])[0])

    def unprepared(self) -> Lingua:
        """A copy that has shortened nothing."""
        return replace(self, _held={})

    def _shorten(self, text: str) -> str:
        found = self.compressor.compress_prompt([text], rate=self.rate)["compressed_prompt"]
        # Of a very short text nothing may be left; a reader needs something to read.
        return str(found).strip() or text


@dataclass(frozen=True)
class Pisco:
    """A PISCO or COCOM checkpoint, through the interface that its own code brings.

    Documents are compressed once where the code can answer from compressed documents (PISCO),
    with every question where it cannot (COCOM, OSCAR).

    Args:
        model: What `AutoModel.from_pretrained(..., trust_remote_code=True)` gave.
        max_new_tokens: Length limit of an answer.
        batch_size: Questions, or documents, at a time, halved where they do not fit.
    """

    model: Any
    max_new_tokens: int = 64
    batch_size: int = 16
    _held: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)

    def prepare(self, texts: Iterable[str]) -> None:
        """Compress those documents that are not compressed yet."""
        if not self._compresses_once:
            return
        missing = sorted(set(texts) - set(self._held), key=lambda text: (len(text), text))

        def work(batch: list[int]) -> list[torch.Tensor]:
            with torch.no_grad():
                chosen = [missing[i] for i in batch]
                return list(self.model.compress_documents(documents=chosen).detach().cpu())

        rows = in_batches(
            [len(t) for t in missing], work, self.batch_size, where="compressing documents"
        )
        self._held.update(zip(missing, rows, strict=True))

    def answer(
        self,
        questions: list[str],
        documents: Sequence[Sequence[str]],
        max_new_tokens: int | None = None,
    ) -> list[str]:
        """Answer, questions with the same number of documents together.

        Raises:
            DataError: If a question has no document.
        """
        if any(not texts for texts in documents):
            raise DataError("a question has no documents; PISCO and COCOM need at least one")
        length = self.max_new_tokens if max_new_tokens is None else max_new_tokens
        self.prepare(text for texts in documents for text in texts)

        def work(batch: list[int]) -> list[str]:
            asked, given = [questions[i] for i in batch], [list(documents[i]) for i in batch]
            with torch.no_grad():
                return [str(answer).strip() for answer in self._generate(asked, given, length)]

        lengths = [(len(d), len(q)) for q, d in zip(questions, documents, strict=True)]
        return in_batches(lengths, work, self.batch_size, where="answering")

    def prompt_tokens(self, questions: list[str], documents: Sequence[Sequence[str]]) -> list[int]:
        """Question's tokens and the documents' memory vectors; the template is not counted."""
        self.prepare(text for texts in documents for text in texts)
        return [
            len(self._ids(question)) + sum(self._positions(text) for text in texts)
            for question, texts in zip(questions, documents, strict=True)
        ]

    def stored_bytes(self, texts: Sequence[str]) -> int:
        """The compressed documents; the texts where they cannot be kept compressed."""
        if not self._compresses_once:
            return sum(len(text.encode()) for text in texts)
        self.prepare(texts)
        return sum(self._held[t].numel() * self._held[t].element_size() for t in texts)

    def unprepared(self) -> Pisco:
        """A copy that has compressed nothing; itself where nothing can be kept."""
        return replace(self, _held={}) if self._compresses_once else self

    @property
    def _compresses_once(self) -> bool:
        compress = getattr(self.model, "compress_documents", None)
        answers = hasattr(self.model, "generate_from_compressed_documents_and_questions")
        # OSCAR's compressor reads the question too.
        return answers and compress is not None and "questions" not in _parameters(compress)

    def _generate(
        self, questions: list[str], documents: list[list[str]], max_new_tokens: int
    ) -> list[str]:
        if self._compresses_once:
            rows = [self._held[text] for texts in documents for text in texts]
            memory = torch.stack(rows).to(next(self.model.parameters()).device)
            return list(
                self.model.generate_from_compressed_documents_and_questions(
                    questions=questions, compressed_documents=memory, max_new_tokens=max_new_tokens
                )
            )
        generate = self.model.generate_from_text
        name = "contexts" if "contexts" in _parameters(generate) else "documents"
        return list(
            generate(questions=questions, max_new_tokens=max_new_tokens, **{name: documents})
        )

    def _ids(self, text: str) -> list[int]:
        tokenizer = self.model.decoder_tokenizer
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    def _positions(self, text: str) -> int:
        if self._compresses_once:
            return int(self._held[text].shape[0])
        config = self.model.config
        return int(config.doc_max_length) // int(config.compr_rate)


def open_lingua(
    model_id: str,
    generator: Generator,
    rate: float,
    *,
    device: str | None,
    trust_remote_code: bool,
) -> Lingua:
    """LLMLingua-2 from a folder or the hub, in front of a generator that reads text.

    Raises:
        ConfigError: If llmlingua is not installed.
        CheckpointError: If the model cannot be loaded.
    """
    try:
        from llmlingua import PromptCompressor
    except ImportError as err:
        raise ConfigError(
            f"{model_id}: LLMLingua-2 needs llmlingua; pip install 'clara-pipeline[retrieval]'"
        ) from err
    try:
        compressor = PromptCompressor(
            model_id,
            device_map=device or "cpu",
            # The library's own default lets code that comes with a model run.
            model_config={"trust_remote_code": trust_remote_code},
            use_llmlingua2=True,
        )
    except (OSError, ValueError) as err:
        raise CheckpointError(
            f"{model_id}: cannot load as LLMLingua-2's token classifier: "
            f"{str(err).splitlines()[0]}; give a folder or a hub id such as {LINGUA_MODEL} "
            "(offline, llmlingua also needs tiktoken's cl100k_base in TIKTOKEN_CACHE_DIR)"
        ) from err
    return Lingua(compressor, generator, rate)


def open_pisco(
    model_id: str,
    *,
    max_new_tokens: int,
    batch_size: int,
    device: str | None,
    dtype: Any,
    trust_remote_code: bool,
) -> Pisco:
    """A PISCO or COCOM checkpoint from a folder or the hub.

    Raises:
        ConfigError: If its code may not run.
        CheckpointError: If it cannot be loaded, or its code has another interface.
    """
    if not trust_remote_code:
        raise ConfigError(
            f"{model_id}: PISCO and COCOM checkpoints bring their own code, which would run on "
            "this machine; read it, then allow it with trust_remote_code"
        )
    from transformers import AutoModel

    try:
        model = AutoModel.from_pretrained(
            model_id, trust_remote_code=True, **({} if dtype is None else {"dtype": dtype})
        )
    except (OSError, ValueError, ImportError) as err:
        raise CheckpointError(
            f"{model_id}: cannot load: {str(err).splitlines()[0]}; give a folder or a hub id such "
            "as naver/pisco-mistral"
        ) from err
    if not hasattr(model, "generate_from_text"):
        raise CheckpointError(
            f"{model_id}: its {type(model).__name__} has no generate_from_text; this is neither a "
            "PISCO nor a COCOM checkpoint"
        )
    return Pisco(model.to(device or "cpu").eval(), max_new_tokens, batch_size)


def _parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)
