"""Public benchmarks as the evaluation asks them: candidates by setting, kept on disk, audited."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

from clara_model.errors import ConfigError, DataError
from clara_model.evaluation.benchmarks import (
    Asked,
    Audit,
    Document,
    LoadedBenchmark,
    Pool,
    Retrieve,
    bm25,
    build_setting,
    by_retriever,
    load_benchmark,
    pool_folder,
    pool_samples,
)
from configs.schema import PipelineConfig
from tasks.storage import Record, hash_json, read_records, write_jsonl
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

# Raised by hand whenever the same benchmark and retriever would give other candidates.
VERSION = 1


def load_public(
    config: PipelineConfig, workspace: Workspace
) -> list[tuple[LoadedBenchmark, str, list[Asked], Audit]]:
    """The configured public benchmarks, each in the configured settings.

    Candidates are kept under evaluation/candidates: a report needs no retriever.

    Returns:
        (benchmark, setting, its questions with candidates, how often golds are present).

    Raises:
        ConfigError: If a benchmark is not there, or its questions come without documents.
        DataError: If a file cannot be read, or golds were given where they must be found.
    """
    settings = config.evaluation
    found: list[tuple[LoadedBenchmark, str, list[Asked], Audit]] = []
    for name in settings.benchmarks:
        loaded = load_benchmark(
            name, folder=settings.benchmarks_folder, limit=settings.max_questions
        )
        pool = _pool(name, config, loaded)
        for setting in settings.settings:
            asked, audit = _candidates(config, workspace, loaded, setting, pool)
            log.info("%s: %s", loaded.name, audit.words)
            found.append((loaded, setting, asked, audit))
    names = [loaded.name for loaded, setting, *_ in found if setting == settings.settings[0]]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"evaluation.benchmarks names {', '.join(twice)} more than once")
    return found


def open_retrieve(spec: str, config: PipelineConfig, workspace: Workspace) -> Retrieve:
    """The retriever of a setting's line: `bm25`, `dense:MODEL`, `index`, `index:FOLDER`."""
    kind, _, model = spec.partition(":")
    if kind == "bm25":
        return bm25
    from tasks.evaluation.entrants import choose_device, system_options

    # A model that only retrieves says itself which decoder it belongs to.
    options = replace(system_options(config, workspace, choose_device()), base_model=None)
    if kind == "dense":
        from clara_model.evaluation.systems.retrievers import open_dense

        trust = options.trust_remote_code
        return by_retriever(open_dense(model, device=options.device, trust_remote_code=trust))
    from clara_model.evaluation.systems.clara_retriever import ClaraRetriever
    from clara_model.evaluation.systems.shelf import ModelShelf

    folder = model or str(workspace.models / "stage3")
    shelf = ModelShelf(options)
    return by_retriever(ClaraRetriever(shelf.clara(folder), shelf.memories(folder)))


def _pool(name: str, config: PipelineConfig, limited: LoadedBenchmark) -> Pool:
    """Passages of the whole benchmark, though only some of its questions are asked."""
    settings = config.evaluation
    if settings.corpus is not None:
        return pool_folder(settings.corpus)
    if len(limited.samples) < settings.max_questions:
        return pool_samples(limited.samples, limited.name)
    whole = load_benchmark(limited.path, spec=limited.name)
    return pool_samples(whole.samples, limited.name)


def _candidates(
    config: PipelineConfig,
    workspace: Workspace,
    loaded: LoadedBenchmark,
    setting: str,
    pool: Pool,
) -> tuple[list[Asked], Audit]:
    settings = config.evaluation
    key = hash_json(
        [VERSION, loaded.key, setting, pool.key, settings.num_candidates,
         _identity(settings.retriever, workspace)]
    )  # fmt: skip
    path = workspace.evaluation / "candidates" / f"{loaded.name}.{setting}.jsonl"
    kept = _read(path, key, loaded)
    if kept is not None:
        return kept
    asked, audit = build_setting(
        loaded,
        setting,
        pool,
        num_candidates=settings.num_candidates,
        retrieve=open_retrieve(settings.retriever, config, workspace),
    )
    rows = [_row(one) for one in asked]
    # The audit holds for these rows: a file that was changed by hand is made, and audited, again.
    head: Record = {"key": key, "rows": hash_json(rows), "audit": asdict(audit)}
    write_jsonl(path, [head, *rows])
    return asked, audit


def _identity(spec: str, workspace: Workspace) -> str:
    kind, _, model = spec.partition(":")
    if kind == "bm25":
        return kind
    from clara_model.evaluation.systems.identity import model_identity

    return f"{kind}:{model_identity(model or str(workspace.models / 'stage3'))}"


def _row(one: Asked) -> Record:
    documents = [list(document) for document in one.candidates]
    return {"id": one.sample.id, "candidates": documents, "golds": list(one.gold_positions)}


def _read(path: Path, key: str, loaded: LoadedBenchmark) -> tuple[list[Asked], Audit] | None:
    """Candidates of an earlier run, if they are of the same benchmark, pool and retriever."""
    if not path.is_file():
        return None
    try:
        head, *rows = read_records(path)
        if head.get("key") != key or len(rows) != len(loaded.samples):
            return None
        if head.get("rows") != hash_json(rows):
            log.warning("%s was changed, and is made again", path)
            return None
        asked = [
            Asked(sample, tuple(Document(*d) for d in row["candidates"]), tuple(row["golds"]))
            for sample, row in zip(loaded.samples, rows, strict=True)
        ]
        return asked, Audit(**head["audit"])
    except (DataError, ValueError, KeyError, TypeError, json.JSONDecodeError):
        log.warning("%s is damaged and made again", path)
        return None
