"""What comes back from a memory: held-out passages written anew by every CLaRa model.

Kept like predictions: one file a (benchmark, system), reused while its key matches. Torch-free
until something is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clara_model.config import read_config
from clara_model.errors import DataError
from configs.evaluation import EvaluationSettings
from tasks.evaluation.benchmarks import Benchmark
from tasks.evaluation.entrants import Entrant
from tasks.storage import Journal, Record, hash_json, read_records, write_jsonl

if TYPE_CHECKING:
    from clara_model.evaluation.systems.clara import Compressed

# Raised by hand whenever the same checkpoint and passages would be written otherwise.
VERSION = 1


@dataclass(frozen=True)
class Rebuild:
    """One CLaRa model and the held-out passages that it writes anew.

    Args:
        benchmark: Name of the benchmark that the passages are the gold ones of.
        entrant: A system whose generator reads memories.
        passages: Distinct texts.
        max_new_tokens: As long as the longest document that the model reads.
        path: The file of what it wrote.
        key: Hash of all that decides it.
    """

    benchmark: str
    entrant: Entrant
    passages: tuple[str, ...]
    max_new_tokens: int
    path: Path
    key: str


def plan_rebuilds(
    folder: Path, entrants: Sequence[Entrant], benchmarks: Sequence[Benchmark], limit: int
) -> list[Rebuild]:
    """What every CLaRa model writes anew; a model that stands in several lines does it once.

    Args:
        folder: The evaluation's.
        entrants: Who is compared.
        benchmarks: Whose gold passages are taken.
        limit: Most passages a benchmark, drawn by hash; 0 for none.
    """
    readers = {e.model: e for e in reversed(entrants) if e.reads_memories}
    found = []
    for name in dict.fromkeys(benchmark.name for benchmark in benchmarks):
        golds = gold_passages(b for b in benchmarks if b.name == name)
        passages = tuple(sorted(golds, key=_digest)[:limit])
        for entrant in entrants:
            if readers.get(entrant.model) is not entrant or not passages:
                continue
            longest = read_config(Path(entrant.model)).doc_max_length
            key = hash_json([VERSION, entrant.settings, passages, longest])[:16]
            path = rebuilt_path(folder, name, entrant.id)
            found.append(Rebuild(name, entrant, passages, longest, path, key))
    return found


def rebuilt_path(folder: Path, benchmark: str, system: str) -> Path:
    """Where lies what one system wrote of a benchmark's passages."""
    return folder / "reconstruction" / f"{benchmark}.{system}.jsonl"


def stored_texts(rebuild: Rebuild) -> list[Record] | None:
    """What was written, if it is there, whole, and of this checkpoint and these passages."""
    if not rebuild.path.is_file():
        return None
    try:
        rows = read_records(rebuild.path)
    except DataError:  # damaged: asked again
        return None
    fits = len(rows) == len(rebuild.passages)
    return rows if fits and all(row.get("key") == rebuild.key for row in rows) else None


def regenerate(
    rebuild: Rebuild,
    generator: Compressed,
    progress: Path,
    batch_size: int,
    advance: Callable[[int], None],
) -> None:
    """Have the passages written anew, a batch at a time, continued where a kill cut it off."""
    passages = rebuild.passages
    name = f"reconstruction.{rebuild.path.name}"
    with Journal(progress / name, rebuild.key) as journal:
        for batch in _batches(passages, batch_size):
            if not all(str(i) in journal for i in batch):
                texts = [passages[i] for i in batch]
                written = generator.regenerate(texts, rebuild.max_new_tokens)
                for i, text in zip(batch, written, strict=True):
                    row = {"key": rebuild.key, "original": passages[i], "regenerated": text.strip()}
                    journal.add(str(i), row)
            advance(len(batch))
        write_jsonl(rebuild.path, [journal.records[str(i)] for i in range(len(passages))])


def compare_by_meaning(
    rebuilds: Iterable[Rebuild], settings: EvaluationSettings, device: Callable[[], str]
) -> None:
    """BERTScore of everything that was written, beside it, if the settings ask for it."""
    own = settings.reconstruction
    for rebuild in rebuilds if own.bert_score else ():
        key = bert_key(rebuild.key, settings)
        path = bert_path(rebuild.path)
        if path.is_file() and all(row["key"] == key for row in read_records(path)):
            continue
        from clara_model.evaluation.metrics.bert_score import bert_scores

        rows = stored_texts(rebuild) or []
        scores = bert_scores(
            [row["regenerated"] for row in rows],
            [row["original"] for row in rows],
            model=own.bert_score_model,
            layer=own.bert_score_layer,
            device=device(),
        )
        write_jsonl(path, [{"key": key, "f1": round(score.f1, 6)} for score in scores])


def bert_key(key: str, settings: EvaluationSettings) -> str:
    """What a stored BERTScore goes by: the texts, the encoder and its layer."""
    own = settings.reconstruction
    return hash_json([key, own.bert_score_model, own.bert_score_layer])[:16]


def bert_path(path: Path) -> Path:
    """Where the BERTScores of one file of regenerated passages lie."""
    return path.with_suffix(".bert.jsonl")


def gold_passages(benchmarks: Iterable[Benchmark]) -> list[str]:
    """The distinct gold passages among the candidates of some benchmarks' questions."""
    golds = (
        sample.candidates[i]
        for benchmark in benchmarks
        for sample in benchmark.samples
        for i in sample.positives
    )
    return list(dict.fromkeys(golds))


def _batches(passages: Sequence[str], size: int) -> Iterator[list[int]]:
    order = sorted(range(len(passages)), key=lambda i: (len(passages[i]), i))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
