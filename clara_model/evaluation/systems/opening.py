"""From a line such as `bm25+rerank:BAAI/bge-reranker-base+text:FOLDER` to a system.

A line is parts joined by `+`, the last of which writes the answers:

    closed-book[:MODEL]   the decoder, the question alone
    text[:MODEL]          the decoder, full text of the documents
    clara:FOLDER          a CLaRa checkpoint, memories; stage 3 also ranks by itself
    pisco:ID              a PISCO or COCOM checkpoint (brings code: trust_remote_code)
    openai:MODEL          any other opener that the caller brings

and in front of it, in the order in which they act:

    bm25                  BM25
    dense:ID              a bi-encoder
    encoder:FOLDER        CLaRa's compressor, reading the question as a document
    reasoner:FOLDER       CLaRa's query reasoner (stage 3)
    rerank:ID             a cross-encoder over the best of the retriever in front of it
    lingua[:ID]           LLMLingua-2, between retriever and a generator that reads text

MODEL is a plain decoder, or a CLaRa checkpoint, of which the bare decoder is taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from clara_model.errors import ConfigError
from clara_model.evaluation.systems.identity import model_identity
from clara_model.evaluation.systems.interface import Generator, Retriever, System
from clara_model.evaluation.systems.shelf import (
    ModelShelf,
    SystemOptions,
    checkpoint_folder,
    is_clara,
)

# Raised by hand whenever the same weights and settings would answer otherwise.
VERSION = 1

_GENERATORS = ("closed-book", "text", "clara", "pisco")
_RETRIEVERS = ("bm25", "dense", "encoder", "reasoner", "rerank")
_OF_CLARA = ("closed-book", "text", "clara", "encoder", "reasoner")  # take its checkpoints
# Pan et al., LLMLingua-2, arXiv 2403.12968: the model that its authors released first.
LINGUA_MODEL = "microsoft/llmlingua-2-xlm-roberta-large-meetingbank"
_K = 5  # where neither options nor checkpoint say


class Opened(NamedTuple):
    """What an opener of the caller's gives: a way to the generator, and its settings."""

    open: Callable[[], Generator]
    settings: dict[str, Any]


# From what follows the colon, and the options.
Opener = Callable[[str, SystemOptions], Opened]


class Part(NamedTuple):
    """One part of a system's line."""

    kind: str
    model: str


@dataclass(frozen=True)
class SystemPlan:
    """A system that is not loaded yet: its name, settings and key are known already.

    Args:
        spec: The line.
        parts: The line's parts.
        options: How to open them.
        shelf: Models that are loaded, shared between systems.
        openers: Kinds of generators that the caller brings.
    """

    spec: str
    parts: tuple[Part, ...]
    options: SystemOptions
    shelf: ModelShelf
    openers: Mapping[str, Opener]

    @property
    def name(self) -> str:
        """The line with folders cut to their last part."""
        shown = [f"{kind}:{_shown(model)}" if model else kind for kind, model in self.parts]
        return "+".join(shown)

    @property
    def k(self) -> int:
        """Documents that the generator reads."""
        kind, model = self.parts[-1]
        if self.options.k is not None:
            return self.options.k
        return self.shelf.config(model).generation_top_k if kind == "clara" else _K

    @property
    def retrieves(self) -> bool:
        """Whether it ranks candidates by itself."""
        return self._ranks_itself or any(part.kind in _RETRIEVERS for part in self.parts)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides rankings and answers, as JSON values."""
        options = asdict(self.options)
        for neutral in ("model", "base_model", "missing_base", "device", "memory_folder"):
            del options[neutral]
        parts = [[kind, self._identity(Part(kind, model))] for kind, model in self.parts]
        return {"version": VERSION, "spec": self.name, "parts": parts, **options, "k": self.k}

    def open(self) -> System:
        """Load what is needed.

        Raises:
            CheckpointError: If a model cannot be loaded.
            ConfigError: If an optional package is missing, or code may not run.
        """
        *front, last = self.parts
        generator = self._generator(last)
        retriever: Retriever | None = None
        for part in front:
            if part.kind == "lingua":
                generator = self._lingua(part, generator)
            else:
                retriever = self._retriever(part, retriever)
        if retriever is None and self._ranks_itself:
            retriever = self._retriever(Part("reasoner", last.model), None)
        return System(self.name, generator, retriever, self.k, self.settings)

    @property
    def _ranks_itself(self) -> bool:
        kind, model = self.parts[-1]
        return kind == "clara" and self.shelf.config(model).stage == "stage3"

    def _identity(self, part: Part) -> Any:
        if part.kind in self.openers:
            return self.openers[part.kind](part.model, self.options).settings
        if not part.model:
            return None
        if part.kind not in ("dense", "rerank", "lingua", "pisco") and is_clara(part.model):
            return [model_identity(part.model), model_identity(self.shelf.base(part.model))]
        return model_identity(part.model)

    def _generator(self, part: Part) -> Generator:
        options = self.options
        if part.kind in self.openers:
            return self.openers[part.kind](part.model, options).open()
        if part.kind == "pisco":
            from clara_model.evaluation.systems.wrappers import open_pisco

            return open_pisco(
                part.model,
                max_new_tokens=options.max_new_tokens,
                batch_size=options.batch_size,
                device=options.device,
                dtype=options.dtype,
                trust_remote_code=options.trust_remote_code,
            )
        from clara_model.evaluation.systems.clara import ClosedBook, Compressed, FullText

        length, size = options.max_new_tokens, options.batch_size
        if part.kind == "clara":
            model = self.shelf.clara(part.model)
            lists = options.lists_questions and model.config.stage == "stage1"
            return Compressed(model, self.shelf.memories(part.model), length, lists, size)
        kind = ClosedBook if part.kind == "closed-book" else FullText
        return kind(self.shelf.bare(part.model), length, batch_size=size)

    def _lingua(self, part: Part, generator: Generator) -> Generator:
        from clara_model.evaluation.systems.wrappers import open_lingua

        return open_lingua(
            part.model,
            generator,
            self.options.lingua_rate,
            device=self.options.device,
            trust_remote_code=self.options.trust_remote_code,
        )

    def _retriever(self, part: Part, first: Retriever | None) -> Retriever:
        if part.kind in ("encoder", "reasoner"):
            from clara_model.evaluation.systems.clara_retriever import ClaraRetriever

            return ClaraRetriever(
                self.shelf.clara(part.model),
                self.shelf.memories(part.model),
                with_encoder=part.kind == "encoder",
            )
        from clara_model.evaluation.systems import retrievers

        if part.kind == "bm25":
            return retrievers.Bm25()
        device, trust = self.options.device, self.options.trust_remote_code
        if part.kind == "dense":
            return retrievers.open_dense(part.model, device=device, trust_remote_code=trust)
        return retrievers.open_reranker(
            part.model, first, self.options.depth, device=device, trust_remote_code=trust
        )


def plan_systems(
    specs: list[str],
    options: SystemOptions | None = None,
    openers: Mapping[str, Opener] | None = None,
) -> list[SystemPlan]:
    """Systems that share their models; nothing is loaded yet.

    Args:
        specs: One line a system, see above.
        options: How to open them.
        openers: More kinds of generators, by the word in front of the colon.

    Raises:
        ConfigError: If a line cannot be understood.
    """
    options = options or SystemOptions()
    shelf = ModelShelf(options)
    known = dict(openers or {})
    return [SystemPlan(s, _parse(s, options, known), options, shelf, known) for s in specs]


def open_system(
    spec: str,
    options: SystemOptions | None = None,
    openers: Mapping[str, Opener] | None = None,
) -> System:
    """Open one system, see `plan_systems`."""
    return plan_systems([spec], options, openers)[0].open()


def _parse(spec: str, options: SystemOptions, openers: Mapping[str, Opener]) -> tuple[Part, ...]:
    parts = []
    # A folder's name may hold a plus sign: a new part begins where a known word follows.
    words = "|".join(map(re.escape, (*_GENERATORS, *_RETRIEVERS, "lingua", *openers)))
    texts = re.split(rf"\+(?=(?:{words})(?:[:+]|$))", spec)
    for place, text in enumerate(texts):
        kind, _, model = text.partition(":")
        is_last = place == len(texts) - 1
        known = [*_GENERATORS, *openers] if is_last else [*_RETRIEVERS, "lingua"]
        if kind not in known:
            where = "writes no answers" if is_last else "cannot stand in front of another part"
            raise ConfigError(f"{spec!r}: {kind!r} {where}; choose one of {', '.join(known)}")
        if kind == "lingua":
            model = model or LINGUA_MODEL
        if kind in ("closed-book", "text"):
            model = model or options.model or ""
        if not model and kind != "bm25":
            raise ConfigError(f"{spec!r}: {kind} needs a model; write {kind}:FOLDER_OR_ID")
        if kind in _OF_CLARA:
            model = checkpoint_folder(model)
        parts.append(Part(kind, model))
    return tuple(parts)


def _shown(model: str) -> str:
    """A hub id, or a folder's name; of a released rate the repository's name as well."""
    path = Path(model)
    if not path.is_dir():
        return model
    own = path.name
    return f"{path.resolve().parent.name}/{own}" if own.startswith("compression-") else own
