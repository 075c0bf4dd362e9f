"""The questions beside the predictions, so that scores and report need nothing else."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from clara_model.errors import DataError
from clara_model.evaluation.benchmarks import SPECS, Audit, LoadedBenchmark, SetAside
from clara_model.evaluation.benchmarks import Sample as PublicSample
from tasks.evaluation.benchmarks import Benchmark, Sample
from tasks.storage import Record, read_records, write_jsonl


def store_questions(folder: Path, benchmarks: list[Benchmark]) -> None:
    """Write one file a (benchmark, setting); those of an earlier evaluation are removed."""
    place = folder / "questions"
    files = {f"{benchmark.name}.{benchmark.pool}.jsonl" for benchmark in benchmarks}
    for path in place.glob("*.jsonl"):
        if path.name not in files:
            path.unlink()
    for number, benchmark in enumerate(benchmarks):
        rows = [asdict(sample) for sample in benchmark.samples]
        path = place / f"{benchmark.name}.{benchmark.pool}.jsonl"
        write_jsonl(path, [{"number": number, **_head(benchmark)}, *rows])


def read_questions(folder: Path) -> list[Benchmark]:
    """What `store_questions` wrote, in its order.

    Raises:
        DataError: If there is nothing, or a file is damaged.
    """
    found: dict[int, Benchmark] = {}
    for path in sorted((folder / "questions").glob("*.jsonl")):
        try:
            head, *rows = read_records(path)
            found[head["number"]] = _benchmark(head, rows)
        except (KeyError, TypeError, ValueError) as err:
            raise DataError(
                f"{path}: damaged, or of an earlier version ({err}); run `clara evaluate --force`"
            ) from err
    return [found[number] for number in sorted(found)]


def _head(benchmark: Benchmark) -> Record:
    public = benchmark.public
    return {
        "name": benchmark.name,
        "pool": benchmark.pool,
        "providers": list(benchmark.providers),
        "key": benchmark.key,
        "audit": asdict(benchmark.audit) if benchmark.audit else None,
        "public": public
        and {
            "spec": public.spec.name,
            "version": public.spec.version,
            "file": public.path.name,
            "is_chinese": public.is_chinese,
            "set_aside": [list(item) for item in public.set_aside],
        },
    }


def _benchmark(head: Record, rows: list[Record]) -> Benchmark:
    samples = tuple(
        Sample(
            id=row["id"],
            question=row["question"],
            **{name: tuple(row[name]) for name in ("candidates", "golds", "positives", "order")},
            missing=row["missing"],
            cluster=row["cluster"],
        )
        for row in rows
    )
    return Benchmark(
        head["name"],
        head["pool"],
        samples,
        tuple(head["providers"]),
        head["key"],
        head["public"] and _public(head["public"], samples),
        head["audit"] and Audit(**head["audit"]),
    )


def _public(head: Record, samples: tuple[Sample, ...]) -> LoadedBenchmark:
    """As much of the public benchmark as scores need: its spec, questions and golds."""
    return LoadedBenchmark(
        SPECS[head["spec"]],
        Path(head["file"]),
        tuple(PublicSample(sample.id, sample.question, sample.golds) for sample in samples),
        tuple(SetAside(*item) for item in head["set_aside"]),
        head["is_chinese"],
    )
