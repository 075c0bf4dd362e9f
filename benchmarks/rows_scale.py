"""Generated passages through splitting, rows, BM25 negatives and validation: time, peak memory.

    python -m benchmarks.rows_scale --passages 200000 --folder /somewhere/with/10/GB
    python -m benchmarks.rows_scale --kill-after 60      # ends mining, then continues it

Each part runs in a process of its own, as a step would; its peak is what the system says of it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from configs.schema import PipelineConfig
from tasks.storage import Record, write_jsonl
from tasks.workspace import Workspace

_SENTENCES = 4  # of a passage, with 14 words each: about 80 tokens
_DOCUMENT_PASSAGES = 20


def main() -> None:
    """Run the parts, and write one JSON line."""
    options = _options()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="rows-scale-"))
    workspace = Workspace(folder)
    result: dict[str, Any] = {"passages": options.passages}
    result["generate"] = _measure(_generate, workspace, options.passages)
    result["split"] = _measure(_split, workspace)
    result["ask"] = _measure(_ask, workspace)
    if options.kill_after:
        result["killed_after_s"] = options.kill_after
        _measure(_mine, workspace, kill_after=options.kill_after)
        blocks = list((workspace.progress / "mine").rglob("block-*.jsonl"))
        result["blocks_kept"] = len(blocks)
    result["mine"] = _measure(_mine, workspace)
    result["validate"] = _measure(_validate, workspace)
    line = json.dumps(result)
    sys.stdout.write(line + "\n")
    if options.out:
        options.out.write_text(line + "\n", encoding="utf-8")


def _generate(workspace: Workspace, number: int) -> None:
    """Documents of made-up words, frequent and rare ones, as extraction leaves them."""
    workspace.root.mkdir(parents=True, exist_ok=True)
    write_jsonl(workspace.raw_knowledge, _documents(number))
    write_jsonl(workspace.captions, ())
    _write_tokenizer(workspace.models / "tokenizer")


def _documents(number: int) -> Iterator[Record]:
    rng = random.Random(0)
    words = ["".join(rng.choices("aeioulnrstdm", k=rng.randint(2, 9))) for _ in range(30_000)]

    def sentence(subject: str) -> str:
        # Words of a language are not equally frequent.
        drawn = [words[int(len(words) * rng.random() ** 4)] for _ in range(12)]
        return f"{subject} {' '.join(drawn)} {rng.randrange(10**6)}."

    for start in range(0, number, _DOCUMENT_PASSAGES):
        last = min(start + _DOCUMENT_PASSAGES, number)
        paragraphs = [
            " ".join(sentence(f"Town{i}") for _ in range(_SENTENCES)) for i in range(start, last)
        ]
        yield {
            "file_path": f"doc-{start}.md",
            "filename": f"doc-{start}.md",
            "content": "\n\n".join(paragraphs),
            "source_type": "document",
            "extracted_images": [],
        }


def _write_tokenizer(folder: Path) -> None:
    """Words and signs are tokens: splitting needs a count, not a vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


def _split(workspace: Workspace) -> None:
    from tasks.passages.chunk import make_passages

    make_passages(_config(), workspace)


def _ask(workspace: Workspace) -> None:
    """One question a passage, about the number that ends its first sentence."""
    from clara_model.rows import read_jsonl

    def rows() -> Iterator[Record]:
        for _, passage in read_jsonl(workspace.passages):
            first = passage["text"].split(".")[0].split()
            question = f"What follows {' '.join(first[1:-1][:8])} in {first[0]}?"
            pair = {"question": question, "answer": first[-1], "language": "en", "requests": []}
            yield {"passage_id": passage["id"], "simple": [pair], "model": "made up"}

    write_jsonl(workspace.synthesis, rows())


def _mine(workspace: Workspace) -> None:
    from tasks.rows.build import mine_rows

    mine_rows(_config(), workspace)


def _validate(workspace: Workspace) -> None:
    from tasks.rows.validate import validate_file

    report = validate_file(workspace.all_training_data, top_k=5)
    if report.errors:
        raise SystemExit(f"{len(report.errors)} faults; the first: {report.errors[0]}")


def _config() -> PipelineConfig:
    return PipelineConfig.model_validate(
        {
            # A passage is a paragraph of 60 tokens: the next one does not fit.
            "model": {"doc_max_length": 64, "compr_rate": 32, "generation_top_k": 5},
            "synthesis": {"benchmark_share": 0.02},
            "training": {"world": {"share": 0.0}},
        }
    )


def _measure(
    part: Callable[..., None], *arguments: Any, kill_after: float | None = None
) -> dict[str, float] | None:
    """Seconds and peak gigabytes of a part in its own process; None if it was ended."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(theirs, part, arguments))
    child.start()
    theirs.close()
    child.join(kill_after)
    if child.is_alive():
        child.kill()
        child.join()
        return None
    if child.exitcode:
        raise SystemExit(f"{part.__name__} ended with exit code {child.exitcode}")
    measured: dict[str, float] = ours.recv()
    sys.stderr.write(f"{part.__name__.strip('_')}: {measured}\n")
    return measured


def _report(pipe: Any, part: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    part(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    pipe.send(
        {
            "seconds": round(time.perf_counter() - began, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "peak_rss_gb": round(peak, 3),
        }
    )
    pipe.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--passages", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, help="kept; default: a temporary one, kept too")
    parser.add_argument("--kill-after", type=float, help="seconds after which mining is ended")
    parser.add_argument("--out", type=Path, help="file for the result")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
