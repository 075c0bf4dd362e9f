"""Text embeddings: each text asked for once, its vector kept on disk and mapped from there."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from clara_model.errors import ConfigError, DataError, ServiceError
from configs.negatives import EmbeddingSettings
from tasks.progress import progress
from tasks.storage import hash_json, write_json

if TYPE_CHECKING:
    import openai

log = logging.getLogger(__name__)

_KEY_BYTES = 16
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

Embed = Callable[[list[str]], np.ndarray]


class EmbeddingCache:
    """Vectors by text in two files that only grow; what a kill tore off at the end is dropped.

    Args:
        folder: One for each model.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows: dict[bytes, int] = {}
        self.dim = 0
        if self._meta.is_file():
            try:
                self.dim = int(json.loads(self._meta.read_text(encoding="utf-8"))["dimensions"])
            except (ValueError, KeyError, TypeError):
                log.warning("%s is damaged; its texts are embedded again", self._meta)
                for path in (self._meta, self._keys, self._vectors):
                    path.unlink(missing_ok=True)
                return
            self._load()

    def __contains__(self, text: str) -> bool:
        return _key(text) in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Keep the vectors of texts, brought to unit length.

        Raises:
            DataError: If a vector has another length than those before, or no direction.
        """
        vectors = np.asarray(vectors, dtype=np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.all(np.isfinite(lengths)) or np.any(lengths == 0):
            raise DataError("the embedding model gave a vector without a direction")
        if not self.dim:
            self.dim = vectors.shape[1]
            write_json(self._meta, {"dimensions": self.dim})
        if vectors.shape != (len(texts), self.dim):
            raise DataError(
                f"{len(texts)} texts gave embeddings of shape {vectors.shape}; those in "
                f"{self.folder} have {self.dim} dimensions: remove that folder to start anew"
            )
        with self._vectors.open("ab") as stream:
            stream.write((vectors / lengths).tobytes())
        with self._keys.open("ab") as stream:  # second: a key without its vector is never seen
            stream.write(b"".join(_key(text) for text in texts))
        for text in texts:
            self._rows[_key(text)] = len(self._rows)

    def vectors_of(self, texts: Sequence[str]) -> CachedVectors:
        """The vectors of texts, all of which are here, mapped from disk."""
        rows = np.array([self._rows[_key(text)] for text in texts], dtype=np.int64)
        shape = (len(self._rows), self.dim)
        return CachedVectors(np.memmap(self._vectors, np.float32, "r", shape=shape), rows)

    def _load(self) -> None:
        """Read the keys, and cut both files to the vectors that are whole and named."""
        if not self._keys.is_file() or not self._vectors.is_file():
            return
        keys = self._keys.read_bytes()
        size = 4 * self.dim
        whole = min(len(keys) // _KEY_BYTES, self._vectors.stat().st_size // size)
        for path, end in ((self._keys, whole * _KEY_BYTES), (self._vectors, whole * size)):
            with path.open("r+b") as stream:
                stream.truncate(end)
        for row in range(whole):
            self._rows[keys[row * _KEY_BYTES : (row + 1) * _KEY_BYTES]] = row

    @property
    def _meta(self) -> Path:
        return self.folder / "meta.json"

    @property
    def _keys(self) -> Path:
        return self.folder / "keys.bin"

    @property
    def _vectors(self) -> Path:
        return self.folder / "vectors.f32"


@dataclass(frozen=True)
class CachedVectors:
    """Vectors of a list of texts, by their places in the cache's file."""

    file: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def take(self, positions: np.ndarray) -> np.ndarray:
        """The vectors at some positions of the list, (positions, dimensions)."""
        return np.asarray(self.file[self.places[positions]])

    def rows(self, start: int, stop: int) -> np.ndarray:
        """The vectors of a range of the list."""
        return np.asarray(self.file[self.places[start:stop]])


def embed_texts(
    texts: Sequence[str],
    settings: EmbeddingSettings,
    kept: Path | EmbeddingCache,
    *,
    prefix: str = "",
) -> CachedVectors:
    """Vectors of texts; only those that no earlier run has asked for are computed.

    Args:
        texts: In the order of the vectors; the same one may come twice.
        settings: Which model, and where.
        kept: The folder of all models' vectors, or the model's cache from `open_cache`.
        prefix: Put before each text.

    Raises:
        ConfigError: If the local model or its library is not there.
        DataError: If the model's vectors do not fit the texts.
        ServiceError: If the endpoint refuses, or does not answer after all retries.
    """
    cache = open_cache(settings, kept) if isinstance(kept, Path) else kept
    asked = [prefix + text for text in texts]
    missing = [text for text in dict.fromkeys(asked) if text not in cache]
    if missing:
        with progress("embeddings", len(missing)) as advance:
            for part, vectors in _compute(missing, settings):
                cache.add(part, vectors)
                advance(len(part))
    return cache.vectors_of(asked)


def open_cache(settings: EmbeddingSettings, folder: Path) -> EmbeddingCache:
    """The vectors of one model, in the folder of all models' vectors."""
    source = settings.local_model or [settings.base_url, settings.model]
    return EmbeddingCache(folder / hash_json(source)[:16])


def _compute(
    texts: list[str], settings: EmbeddingSettings
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Batches of texts with their vectors, in order."""
    size = settings.texts_per_request
    batches = [texts[start : start + size] for start in range(0, len(texts), size)]
    if settings.local_model is not None:
        embed = _local(settings.local_model)
        yield from ((batch, embed(batch)) for batch in batches)
        return
    with _client(settings) as client, ThreadPoolExecutor(settings.concurrency) as threads:
        # Some rounds of requests at a time: what is finished is on disk soon.
        ahead = 4 * settings.concurrency
        for start in range(0, len(batches), ahead):
            part = batches[start : start + ahead]
            answers = threads.map(lambda batch: _ask(client, batch, settings), part)
            yield from zip(part, answers, strict=True)


def _local(name: str) -> Embed:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as err:
        raise ConfigError(
            f"negatives.dense.local_model {name} needs sentence-transformers: "
            "`pip install 'clara-pipeline[dense]'`, or name an endpoint in "
            "negatives.dense.base_url"
        ) from err
    try:
        model = SentenceTransformer(name)
    except (OSError, ValueError) as err:
        raise ConfigError(
            f"negatives.dense.local_model {name} cannot be loaded: {err}; give a folder or hub id "
            "of a sentence-transformers model"
        ) from err

    def embed(texts: list[str]) -> np.ndarray:
        return np.asarray(
            model.encode(
                texts,
                batch_size=len(texts),
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        )

    return embed


def try_endpoint(settings: EmbeddingSettings) -> None:
    """Ask the endpoint for the embedding of one word, once.

    Raises:
        ConfigError: If its key is not there.
        ServiceError: If it does not answer, refuses, or makes no embeddings.
    """
    once = settings.model_copy(update={"max_retries": 0})
    _ask(_client(once), ["yes"], once)


def _client(settings: EmbeddingSettings) -> openai.OpenAI:
    import openai

    is_local = urlsplit(settings.base_url).hostname in _LOOPBACK
    return openai.OpenAI(
        api_key=settings.read_api_key() or "none",
        base_url=settings.base_url,
        timeout=settings.timeout_s,
        max_retries=settings.max_retries,  # heeds Retry-After, backs off on 429, 5xx and cuts
        # A proxy from the environment cannot reach this machine's loopback.
        http_client=openai.DefaultHttpxClient(trust_env=False) if is_local else None,
    )


def _ask(client: openai.OpenAI, texts: list[str], settings: EmbeddingSettings) -> np.ndarray:
    import openai

    try:
        reply: Any = client.embeddings.create(
            model=settings.model, input=texts, encoding_format="float"
        )
        items = sorted(reply.data, key=lambda item: item.index)
        vectors = np.array([item.embedding for item in items], dtype=np.float32)
    except openai.APIStatusError as err:
        # Not chained: its headers and body may hold the key.
        raise ServiceError(
            f"{settings.base_url}: no embeddings of model '{settings.model}': "
            f"{_refusal(err, settings)}"
        ) from None
    except openai.OpenAIError as err:
        raise ServiceError(
            f"{settings.base_url}: no embeddings ({type(err).__name__}: {err}); run the same "
            "command again: finished texts are kept",
            retryable=True,
        ) from None
    except (AttributeError, TypeError, ValueError) as err:
        raise ServiceError(
            f"{settings.base_url}: the reply holds no embeddings ({err}); check that model "
            f"'{settings.model}' makes them"
        ) from err
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise ServiceError(
            f"{settings.base_url}: {len(texts)} texts gave {len(vectors)} embeddings; lower "
            "negatives.dense.texts_per_request"
        )
    return vectors


def _refusal(err: openai.APIStatusError, settings: EmbeddingSettings) -> str:
    """The provider's words, and what to do."""
    from tasks.llm.faults import Fault, judge_status, providers_words

    verdict = judge_status(err, settings, providers_words(err, settings.read_api_key()), None)
    if not isinstance(verdict, Fault):
        return str(verdict)
    slower = "lower `concurrency`, then " if err.status_code == 429 else ""
    return f"{verdict.words}; {slower}run the same command again: finished texts are kept"


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:_KEY_BYTES]
