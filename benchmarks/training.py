"""What training costs: a plain implementation against ours, with equal losses asserted."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

# Run as a script, only this folder is on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import Job
from benchmarks.report import Measured, describe_machine, peak_tflops, render, write_section
from benchmarks.rows import load_pretrain_rows, questions_per_passage, texts
from benchmarks.shapes import SHAPES, train_tokenizer
from clara_model.errors import ClaraError, LaunchError

ROOT = Path(__file__).resolve().parents[1]

_EPILOG = """\
What is compared. The plain implementation pads documents and questions to their maximal length,
runs the whole language model (hidden states of all layers, logits of all positions) on them, makes
the logits of all positions of the prompt, does not group by length, and compresses all candidates
in every step of stage 3. Ours is the trainer's own code. Both run over the same rows and weights
without dropout, in turn; before any figure is printed, losses and gradient norms are compared,
and the run ends with an error where they differ.

Examples:
  python benchmarks/training.py                                  all stages, about ten minutes
  python benchmarks/training.py --stage 1 --repeats 5            one stage, more closely
  python benchmarks/training.py --markdown docs/performance.md   renew the page's figures
  python benchmarks/training.py --shape mistral-7b --dtype bf16  a large decoder on a GPU
  python benchmarks/training.py --shape small-32k                how much the vocabulary matters
"""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--stage", type=int, nargs="+", choices=(1, 2, 3), default=[1, 2, 3])
    add("--shape", choices=SHAPES, default="small", help="of the decoder (random weights)")
    add("--repeats", type=int, default=8, help="timed blocks of each implementation")
    add("--block", type=int, default=2, help="optimizer steps of a block")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--dtype", choices=("fp32", "bf16"), default="fp32")
    add("--rate", type=int, default=16, help="compression rate r: n = L / r memory tokens")
    add("--checkpointing", choices=("auto", "on", "off"), default="auto",
        help="recompute activations, in both; auto: for shapes of billions of weights")  # fmt: skip
    add("--skip-memory", action="store_true", help="no peak memory: half the time")
    add("--shared", type=Path, help="folder that holds rows/; default: CLARA_SHARED, or the "
        "folder shared beside this one; else text is generated")  # fmt: skip
    add("--peak-tflops", type=float, help="of the GPU in bf16, where its name is not known")
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    add("--from-json", type=Path, metavar="FILE", help="measure nothing, show these figures")
    add("--markdown", type=Path, metavar="PAGE", help="renew the measured section of a page")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace, command: str) -> Measured:
    """Run all jobs, each in a process of its own."""
    started = time.monotonic()
    shape = SHAPES[options.shape]
    device = _device(options.device)
    checkpointing = {"auto": shape.checkpointing, "on": True, "off": False}[options.checkpointing]
    job = Job(
        "time", "stage1", options.shape, options.repeats, options.block, rate=options.rate,
        device=device, dtype=options.dtype, checkpointing=checkpointing,
        shared=str(options.shared) if options.shared else None,
    )  # fmt: skip
    rows, source = load_pretrain_rows(options.shared)
    tokenizer = train_tokenizer(texts(rows), shape.tokenizer_vocab)
    lengths = [len(ids) for ids in tokenizer([row["docs"][0] for row in rows])["input_ids"]]
    measured = Measured(
        command, describe_machine(device), os.getloadavg()[0], asdict(job), source,
        statistics.quantiles(lengths, n=10), questions_per_passage(rows),
        peak_tflops=peak_tflops(device, options.peak_tflops),
    )  # fmt: skip
    for stage in [f"stage{number}" for number in options.stage]:
        _say(f"{stage}: timing")
        measured.timings[stage] = _run(replace(job, stage=stage))
        if not options.skip_memory:
            measured.memory |= _memory_of(replace(job, what="memory", stage=stage))
    measured.minutes = (time.monotonic() - started) / 60
    return measured


def main(arguments: list[str] | None = None) -> int:
    """Measure, show, write."""
    options = parse_arguments(arguments)
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if options.from_json:
            measured = Measured(**json.loads(options.from_json.read_text(encoding="utf-8")))
        else:
            measured = measure(options, " ".join(["python benchmarks/training.py", *given]))
    except ClaraError as err:
        sys.stderr.write(f"error: {err}\n")
        return err.exit_code
    text = render(measured)
    sys.stdout.write(f"{text}\n")
    if options.json:
        options.json.write_text(json.dumps(asdict(measured), indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        write_section(options.markdown, text)
    return 0


def _memory_of(job: Job) -> dict[str, dict[str, float]]:
    """Peaks of both implementations; in stage 1 also with recomputed activations."""
    found = {}
    both = job.stage == "stage1" and not job.checkpointing
    for checkpointing in (job.checkpointing, True)[: 1 + both]:
        name = f"stage {job.stage[-1]}{', gradient checkpointing' if checkpointing else ''}"
        _say(f"{name}: memory")
        found[name] = {
            side: _run(replace(job, implementation=side, checkpointing=checkpointing))
            for side in ("plain", "ours")
        }
    return found


def _run(job: Job) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        wanted, found = Path(folder) / "job.json", Path(folder) / "result.json"
        wanted.write_text(json.dumps(asdict(job)), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.measure", str(wanted), str(found)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = "\n".join(done.stderr.strip().splitlines()[-15:])
            raise LaunchError(f"the measurement {job} failed:\n{lines}")
        return json.loads(found.read_text(encoding="utf-8"))


def _device(wanted: str) -> str:
    import torch

    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def _say(text: str) -> None:
    sys.stderr.write(f"{text} ...\n")


if __name__ == "__main__":
    sys.exit(main())
