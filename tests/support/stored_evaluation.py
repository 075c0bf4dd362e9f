"""A finished evaluation on disk, made up: no model is needed to score it or to write its page."""

from __future__ import annotations

from pathlib import Path

from clara_model.evaluation.benchmarks import SPECS, Audit, LoadedBenchmark
from clara_model.evaluation.benchmarks import Sample as PublicSample
from configs.schema import PipelineConfig
from tasks.evaluation.benchmarks import Benchmark, Sample
from tasks.evaluation.places import prediction_path
from tasks.evaluation.questions import store_questions
from tasks.evaluation.reconstruct import rebuilt_path
from tasks.storage import Record, write_json, write_jsonl
from tasks.workspace import Workspace

QUESTIONS = 40
# Of every ten questions so many are answered rightly, by (system, setting).
RIGHT = {
    ("clara_r4", "oracle"): 9, ("clara_r16", "oracle"): 5, ("text_base", "oracle"): 5,
    ("clara_r4", "normal"): 6, ("clara_r16", "normal"): 4, ("text_base", "normal"): 5,
}  # fmt: skip


def stored_evaluation(folder: Path) -> tuple[PipelineConfig, Workspace]:
    """Two rates and full text on forty questions of HotpotQA's kind, oracle and normal."""
    config = PipelineConfig.model_validate({
        "workspace": str(folder),
        "evaluation": {"name": "compared", "systems": ["a"], "bootstrap_samples": 200},
    })  # fmt: skip
    place = folder / "evaluations" / "compared"
    benchmarks = [_benchmark(setting) for setting in ("oracle", "normal")]
    store_questions(place, benchmarks)
    systems = [_system("clara_r4", "clara:r4", 4), _system("clara_r16", "clara:r16", 16),
               _system("text_base", "text:base", 1)]  # fmt: skip
    jobs = []
    for benchmark in benchmarks:
        for system in systems:
            key = f"{benchmark.pool}-{system['id']}"
            jobs.append({
                "benchmark": benchmark.name, "pool": benchmark.pool, "setting": benchmark.pool,
                "system": system["id"], "k": 2, "chooses": system["chooses"],
                "ranks_only": False, "key": key,
                "cost": _cost(system) if benchmark.pool == "oracle" else None,
            })  # fmt: skip
            path = prediction_path(place, benchmark.name, benchmark.pool, system["id"])
            write_jsonl(path, [_row(benchmark, i, system, key) for i in range(QUESTIONS)])
    rebuilt = [_rebuilt(place, system) for system in systems if system["stage"]]
    index = {"own": False, "judged": False, "systems": systems, "jobs": jobs,
             "reconstruction": rebuilt}  # fmt: skip
    write_json(place / "index.json", index)
    return config, Workspace(folder)


def _rebuilt(place: Path, system: Record) -> Record:
    """Four passages of two numbers each; of every second one half of the words came back."""
    texts = [f"Mill {i} by the Old Bridge ground {i + 100} sacks of barley" for i in range(4)]
    rows = [
        {"key": system["id"], "original": text,
         "regenerated": text if i % 2 else " ".join(text.split()[:5])}
        for i, text in enumerate(texts)
    ]  # fmt: skip
    write_jsonl(rebuilt_path(place, "hotpotqa", system["id"]), rows)
    return {"benchmark": "hotpotqa", "system": system["id"], "key": system["id"], "bert_key": None}


def _benchmark(pool: str) -> Benchmark:
    samples = tuple(
        Sample(f"q{i}", f"Which village lies beside the river number {i}, or what is it called?",
               tuple(f"A passage about river {i + j} and its village." for j in range(4)),
               (f"Village {i}",), (0, 2) if pool == "oracle" or i % 2 else (), (1, 0, 2, 3),
               missing=0 if pool == "oracle" or i % 2 else 2)
        for i in range(QUESTIONS)
    )  # fmt: skip
    public = LoadedBenchmark(
        SPECS["hotpotqa"], Path("hotpot.json"),
        tuple(PublicSample(s.id, s.question, s.golds) for s in samples), (), False,
    )  # fmt: skip
    audit = Audit(pool, "hotpotqa", 90, 4, QUESTIONS, QUESTIONS, QUESTIONS, QUESTIONS)
    return Benchmark("hotpotqa", pool, samples, (), pool, public, audit)


def _system(name: str, spec: str, rate: int) -> Record:
    clara = spec.startswith("clara")
    return {
        "id": name, "name": spec, "spec": spec, "k": 2, "chooses": clara, "ranks_only": False,
        "kind": "clara" if clara else "text", "stage": "stage3" if clara else None, "rate": rate,
        "memory_tokens": 64 // rate if clara else None, "small": True,
    }  # fmt: skip


def _row(benchmark: Benchmark, number: int, system: Record, key: str) -> Record:
    sample = benchmark.samples[number]
    right = number % 10 < RIGHT[system["id"], benchmark.pool]
    row: Record = {
        "key": key, "id": sample.id, "question": sample.question, "golds": list(sample.golds),
        "positives": list(sample.positives), "documents": [0, 2],
        "answer": sample.golds[0] if right else "somewhere else, which nobody has asked about",
    }  # fmt: skip
    if system["chooses"]:
        row["ranking"] = [0, 2, 1, 3] if right else [3, 1, 2, 0]
        row["scores"] = [0.9, 0.1, 0.8, 0.2]
    return row


def _cost(system: Record) -> Record:
    def spread(value: float) -> Record:
        return {"median": value, "low": value * 0.9, "high": value * 1.1, "n": 5}

    text = system["rate"] == 1
    return {
        "key": "cost", "device": "CPU (made up)", "system": system["name"], "questions": 8,
        "documents": 2.0, "tokens_read": 600 if text else 600 / system["rate"],
        "prompt_compression": None, "first_token_s": spread(0.4 if text else 0.1),
        "tokens_per_s": spread(30.0), "questions_per_s": spread(2.0 if text else 4.0),
        "peak_bytes": 5_000_000, "bytes_per_passage": 900.0,
        "compress_s": None if text else spread(0.05),
    }  # fmt: skip
