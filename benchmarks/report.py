"""From measurements to the page: machine, what was run, tables."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.rows import NUM_CANDIDATES
from benchmarks.shapes import SHAPES, Shape

BEGIN = "<!-- measured: begin (written by benchmarks/training.py --markdown) -->"
END = "<!-- measured: end -->"

# Dense bf16, of the data sheets; --peak-tflops for others.
PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L40S": 362.0}
_LORA_RANK = 16


@dataclass
class Measured:
    """Everything of one run.

    Args:
        command: The command line.
        machine: From `describe_machine`.
        load: Processes that wanted to run on the machine before the measurement began.
        settings: Shape, dtype and so on, as the jobs had them.
        rows: Where the rows are from.
        document_tokens: Deciles of the documents' lengths, uncut.
        questions_per_passage: In the rows.
        timings: By stage, as `Timing`.
        memory: By stage (and "stage1, checkpointing"), peak bytes by implementation.
        peak_tflops: Of the GPU; 0 where unknown or none.
        minutes: The whole measurement.
    """

    command: str
    machine: str
    load: float
    settings: dict[str, Any]
    rows: str
    document_tokens: list[float]
    questions_per_passage: float
    timings: dict[str, dict[str, Any]] = field(default_factory=dict)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    peak_tflops: float = 0.0
    minutes: float = 0.0


def describe_machine(device: str) -> str:
    """Processor or GPU, cores, versions."""
    names = [
        line.partition(":")[2].strip()
        for line in _read("/proc/cpuinfo").splitlines()
        if line.startswith("model name")
    ]
    cpu = names[0] if names else "unknown processor"
    parts = [f"{cpu}, {os.cpu_count()} cores"]
    if device == "cuda":
        parts.insert(0, torch.cuda.get_device_name())
    else:
        parts.append(f"{torch.get_num_threads()} threads")
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    return ", ".join([*parts, versions])


def peak_tflops(device: str, given: float | None) -> float:
    """The GPU's peak in bf16; 0 where it is not known."""
    if given is not None or device != "cuda":
        return given or 0.0
    name = torch.cuda.get_device_name()
    return next((peak for known, peak in PEAK_TFLOPS.items() if known in name), 0.0)


def useful_flops(shape: Shape, tokens: float, labelled: float) -> float:
    """Floating point operations that training on some tokens takes at least.

    Of a frozen base: 2 N forward and 2 N backward to the activations, N being the weights of the
    linear layers; of LoRA also 2 N for its own gradients; of the output embedding the labelled
    tokens alone. Attention scores, padding and recomputed activations are not counted.
    """
    layers = 4 * shape.layer_weights + 6 * shape.lora_weights(_LORA_RANK)
    return tokens * layers + labelled * 4 * shape.hidden * shape.vocab


def render(measured: Measured) -> str:
    """The measured section as Markdown."""
    parts = [_setting(measured), _speed(measured)]
    if measured.memory:
        parts.append(_memory(measured))
    if "stage3" in measured.timings:
        parts.append(_amortised(measured))
    if measured.peak_tflops:
        parts.append(_utilisation(measured))
    return "\n\n".join(parts)


def write_section(path: Path, text: str, mark: str = BEGIN) -> None:
    """Put the measured section between the page's marks, or at its end where it has none."""
    page = path.read_text(encoding="utf-8") if path.is_file() else "# Performance\n"
    section = f"{mark}\n\n{text}\n\n{END}"
    before, begin, rest = page.partition(mark)
    _, end, after = rest.partition(END)
    page = f"{before}{section}{after}" if begin and end else f"{page.rstrip()}\n\n{section}\n"
    path.write_text(page, encoding="utf-8")


def _setting(measured: Measured) -> str:
    settings = measured.settings
    shape = SHAPES[settings["shape"]]
    deciles = [f"{value:.0f}" for value in measured.document_tokens]
    difference = {stage: t["loss_difference"] for stage, t in measured.timings.items()}
    norms = max((t["norm_difference"] for t in measured.timings.values()), default=0.0)
    return "\n".join(
        [
            f"- Command: `{measured.command}` ({measured.minutes:.0f} minutes)",
            f"- Machine: {measured.machine}; load before the run {measured.load:.1f}",
            f"- Decoder `{settings['shape']}`: {shape.architecture}, hidden size {shape.hidden}, "
            f"{shape.layers} layers, vocabulary {shape.vocab:,}, random weights; the output "
            f"embedding is {100 * shape.head_share:.0f} % of the multiplied weights; "
            f"{settings['dtype']}, L = {shape.doc_max_length}, r = {settings['rate']}, LoRA rank "
            f"{_LORA_RANK}, gradient checkpointing {'on' if settings['checkpointing'] else 'off'}",
            f"- Rows: {measured.rows}",
            f"- Tokens a document, deciles from 10 to 90 %: {', '.join(deciles)}",
            f"- Examples a step in stages 1, 2, 3: {_list(shape.batch)}; a forward pass: "
            f"{_list(shape.micro)}",
            "- Largest relative difference of the losses: "
            + (", ".join(f"{stage} {value:.0e}" for stage, value in difference.items()))
            + f"; of the gradients' norms: {norms:.0e}",
        ]
    )


def _speed(measured: Measured) -> str:
    lines = [
        "| stage | plain, examples/s | ours, examples/s | ratio (blocks: lowest to highest) | "
        "ratio of CPU time | padding, plain | ours |",
        "|---|---|---|---|---|---|---|",
    ]
    for stage, timing in measured.timings.items():
        plain, ours = timing["plain"], timing["ours"]
        lines.append(
            f"| {stage[-1]} | {_rate(timing, 'plain'):.3g} | {_rate(timing, 'ours'):.3g} | "
            f"**{_spread(plain['seconds'], ours['seconds'])} | "
            f"{sum(plain['cpu_s']) / sum(ours['cpu_s']):.2f} | "
            f"{_padding(plain)} | {_padding(ours)} |"
        )
    return "\n".join(lines)


def _memory(measured: Measured) -> str:
    lines = [
        "| peak memory above the loaded model | plain, MB | ours, MB | plain / ours |",
        "|---|---|---|---|",
    ]
    for name, peaks in measured.memory.items():
        plain, ours = peaks["plain"], peaks["ours"]
        lines.append(
            f"| {name} | {plain / 1e6:,.0f} | {ours / 1e6:,.0f} | **{plain / ours:.1f}** |"
        )
    return "\n".join(lines)


def _amortised(measured: Measured) -> str:
    timing = measured.timings["stage3"]
    step = 1 / _rate(timing, "ours")
    plain_step = 1 / _rate(timing, "plain")
    passage = timing["ours"]["compress_s"]
    asked = measured.questions_per_passage
    cases = (
        ("steps alone: memories are on disk", 0.0),
        (f"1 epoch, candidates from one collection, {asked:.1f} questions a passage", 1 / asked),
        ("3 epochs, no passage serves two questions", NUM_CANDIDATES / 3),
        ("1 epoch, no passage serves two questions", float(NUM_CANDIDATES)),
    )
    lines = [
        f"Stage 3 with the one-time compression ({1000 * passage:.1f} s for a thousand passages; "
        f"the plain implementation: {1000 * timing['plain']['compress_s']:.1f} s):",
        "",
        "| stage 3 | passages to compress per example | ours, examples/s | ratio to plain |",
        "|---|---|---|---|",
    ]
    for name, passages in cases:
        seconds = step + passages * passage
        lines.append(
            f"| {name} | {passages:.2g} | {1 / seconds:.3g} | {plain_step / seconds:.1f} |"
        )
    return "\n".join(lines)


def _utilisation(measured: Measured) -> str:
    shape = SHAPES[measured.settings["shape"]]
    lines = ["| stage | useful TFLOP/s | model FLOPs utilisation |", "|---|---|---|"]
    for stage, timing in measured.timings.items():
        ours = timing["ours"]
        flops = useful_flops(shape, ours["useful"], ours["labelled"]) / sum(ours["seconds"])
        share = flops / (measured.peak_tflops * 1e12)
        lines.append(f"| {stage[-1]} | {flops / 1e12:.0f} | {100 * share:.0f} % |")
    return "\n".join(
        [
            f"Of a peak of {measured.peak_tflops:.0f} TFLOP/s; useful: 4 N + 6 N(LoRA) for each "
            "token that is not padding, N being the weights of the linear layers, and 4 H V for "
            "each labelled one. Attention scores and recomputation are not counted.",
            "",
            *lines,
        ]
    )


def _rate(timing: dict[str, Any], side: str) -> float:
    """Examples a second over all blocks.

    Sums, not a middle block: blocks of long rows take several times as long as those of short
    ones, and all of them make the epoch.
    """
    seconds = timing[side]["seconds"]
    return float(timing["examples"] * len(seconds) / sum(seconds))


def _spread(plain: list[float], ours: list[float]) -> str:
    ratios = [a / b for a, b in zip(plain, ours, strict=True)]
    return f"{sum(plain) / sum(ours):.2f}** ({min(ratios):.1f} to {max(ratios):.1f})"


def _padding(side: dict[str, Any]) -> str:
    return f"{100 * (1 - side['useful'] / side['positions']):.0f} %"


def _list(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).is_file() else ""
