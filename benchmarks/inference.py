"""What answering costs: documents as text beside compressed documents, with the same decoder."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# Run as a script, only this folder is on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.report import describe_machine, write_section
from benchmarks.rows import load_pretrain_rows, texts
from benchmarks.shapes import SHAPES, build_model, train_tokenizer
from clara_model import Clara
from clara_model.errors import ClaraError
from clara_model.evaluation.cost import Cost, Spread, measure_cost, pays_off_after, spread, timed
from clara_model.evaluation.systems.clara import Compressed, FullText
from clara_model.evaluation.systems.interface import System
from clara_model.evaluation.systems.memories import Memories

# Asked for at these numbers of documents of 256 tokens, at rate 32.
GOALS = {5: 3.3, 20: 6.7}

BEGIN = "<!-- measured: begin (written by benchmarks/inference.py --markdown) -->"
_SETTINGS = ("shape", "documents", "tokens", "rate", "questions", "answer", "repeats", "dtype")

_EPILOG = """\
What is compared. One decoder answers the same questions from the same documents, all of exactly
--tokens tokens: as text, and from memories that were made before. Weights are random, since speed
does not depend on them, and every answer is made to be --answer tokens long. The first token's
time includes writing the prompt, tokenising it and looking the memories up.

Examples:
  python benchmarks/inference.py                                   a small decoder, two minutes
  python benchmarks/inference.py --markdown docs/inference.md      renew the page's figures
  python benchmarks/inference.py --shape mistral-7b --dtype bf16   a large decoder on a GPU
"""


@dataclass
class Measured:
    """Everything of one run.

    Args:
        command: The command line.
        machine: From `describe_machine`.
        load: Processes that wanted to run on the machine before the measurement began.
        settings: The command line's options, device and dtype as they were taken.
        costs: (documents, "text" or "compressed") as `Cost`.
        sooner: By documents, time to first token of text over that of memories, of a question asked
            both ways in turn: whatever else the machine does meets both alike.
        minutes: The whole measurement.
    """

    command: str
    machine: str
    load: float
    settings: dict[str, Any]
    costs: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    sooner: dict[str, dict[str, Any]] = field(default_factory=dict)
    minutes: float = 0.0


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--shape", choices=SHAPES, default="small", help="of the decoder (random weights)")
    add("--documents", type=int, nargs="+", default=[5, 20], help="documents a question")
    add("--tokens", type=int, default=256, help="tokens of each document")
    add("--rate", type=int, default=32, help="compression rate r: n = L / r memory tokens")
    add("--questions", type=int, default=4, help="questions, answered alone and in one batch")
    add("--answer", type=int, default=16, help="tokens of every answer")
    add("--repeats", type=int, default=5, help="timed rounds")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--dtype", choices=("fp32", "bf16"), default="fp32")
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    add("--markdown", type=Path, metavar="PAGE", help="renew the measured section of a page")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace, command: str) -> Measured:
    """Build the decoder and measure both ways of reading at each number of documents."""
    import torch

    started = time.monotonic()
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = {name: getattr(options, name) for name in _SETTINGS} | {"device": device}
    measured = Measured(command, describe_machine(device), os.getloadavg()[0], settings)
    model, corpus = _build(options, device)
    for count in options.documents:
        _say(f"{count} documents")
        documents = cut_documents(model, corpus, count * options.questions, options.tokens)
        questions = [f"What does text {i} say about it?" for i in range(options.questions)]
        given = [documents[i :: options.questions] for i in range(options.questions)]
        text = System("text", FullText(model, options.answer), k=count)
        memories = Compressed(model, Memories(model), options.answer)
        compressed = System("compressed", memories, k=count)
        read = text.generator.prompt_tokens(questions, given)
        for system in (text, compressed):
            cost = measure_cost(system, questions, given, device=device, text_tokens=read,
                                repeats=options.repeats)  # fmt: skip
            measured.costs.append((count, system.name, cost.as_json()))
        pairs = list(zip(questions, given, strict=True)) * options.repeats
        ratios = [_first(text, q, d, device) / _first(compressed, q, d, device) for q, d in pairs]
        measured.sooner[str(count)] = asdict(spread(ratios))
    measured.minutes = (time.monotonic() - started) / 60
    return measured


def cut_documents(model: Clara, corpus: list[str], count: int, tokens: int) -> list[str]:
    """Texts of exactly so many tokens each, all different, cut from a corpus.

    Raises:
        ClaraError: If no cut of the corpus is of this length.
    """
    ids = model.tokenizer("\n".join(corpus), add_special_tokens=False)["input_ids"]
    found: dict[str, None] = {}
    place = 0
    while len(found) < count:
        if place > 50 * tokens * count:
            raise ClaraError(f"the corpus has no {count} different cuts of {tokens} tokens")
        window = [ids[i % len(ids)] for i in range(place, place + tokens)]
        text = str(model.tokenizer.decode(window))
        # Decoding and encoding again may merge otherwise at the ends.
        if len(model.tokenizer(text, add_special_tokens=False)["input_ids"]) == tokens:
            found[text] = None
            place += tokens
        else:
            place += 1
    return list(found)


def render(measured: Measured) -> str:
    """The measured section as Markdown."""
    settings = measured.settings
    shape = SHAPES[settings["shape"]]
    parts = [
        "\n".join(
            [
                f"- Command: `{measured.command}` ({measured.minutes:.1f} minutes)",
                f"- Machine: {measured.machine}; load before the run {measured.load:.1f}",
                f"- Decoder `{settings['shape']}`: {shape.architecture}, hidden size "
                f"{shape.hidden}, {shape.layers} layers, random weights, {settings['dtype']}, on "
                f"{settings['device']}",
                f"- Documents of {settings['tokens']} tokens, rate {settings['rate']}, answers of "
                f"{settings['answer']} tokens, {settings['questions']} questions, "
                f"{settings['repeats']} rounds after a warm-up; medians, quartiles in brackets",
            ]
        ),
        _table(measured),
        _gains(measured),
    ]
    return "\n\n".join(parts)


def _table(measured: Measured) -> str:
    lines = [
        "| documents | read as | tokens read | time to first token, ms | tokens/s | questions/s | "
        "peak memory, MB | bytes a passage | ms to compress a passage |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for count, name, raw in measured.costs:
        cost = _cost(raw)
        compress = _shown(cost.compress_s, 1000) if cost.compress_s else "-"
        speed = _shown(cost.tokens_per_s) if cost.tokens_per_s else "-"
        peak = f"{cost.peak_bytes / 1e6:,.0f}" if cost.peak_bytes is not None else "-"
        lines.append(
            f"| {count} | {name} | {cost.tokens_read:,.0f} | {_shown(cost.first_token_s, 1000)} | "
            f"{speed} | {_shown(cost.questions_per_s)} | {peak} | {cost.bytes_per_passage:,.0f} | "
            f"{compress} |"
        )
    return "\n".join(lines)


def _gains(measured: Measured) -> str:
    lines = [
        "| documents | prompt shorter | first token sooner | goal | reached | questions/s | "
        "peak memory, text / compressed | paid off after, questions a passage |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for count in measured.settings["documents"]:
        both = {name: _cost(raw) for number, name, raw in measured.costs if number == count}
        text, compressed = both["text"], both["compressed"]
        sooner = Spread(**measured.sooner[str(count)])
        faster = compressed.questions_per_s.median / text.questions_per_s.median
        goal = GOALS.get(count)
        reached = "-" if goal is None else "yes" if sooner.median >= goal else "**no**"
        memory = (
            f"{text.peak_bytes / compressed.peak_bytes:.1f}"
            if text.peak_bytes and compressed.peak_bytes else "-"
        )  # fmt: skip
        assert compressed.compress_s is not None
        after = pays_off_after(
            compressed.compress_s.median, 1,
            1 / text.questions_per_s.median, 1 / compressed.questions_per_s.median,
        )  # fmt: skip
        lines.append(
            f"| {count} | {compressed.prompt_compression or 0:.1f} x | "
            f"**{sooner.median:.1f} x** [{sooner.low:.1f}, {sooner.high:.1f}] | "
            f"{f'{goal} x' if goal else '-'} | {reached} | {faster:.1f} x | {memory} | "
            f"{'never' if after is None else f'{after:.2g}'} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure, show, write."""
    options = parse_arguments(arguments)
    given = sys.argv[1:] if arguments is None else arguments
    try:
        measured = measure(options, " ".join(["python benchmarks/inference.py", *given]))
    except ClaraError as err:
        sys.stderr.write(f"error: {err}\n")
        return err.exit_code
    text = render(measured)
    sys.stdout.write(f"{text}\n")
    if options.json:
        options.json.write_text(json.dumps(asdict(measured), indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        write_section(options.markdown, text, BEGIN)
    return 0


def _build(options: argparse.Namespace, device: str) -> tuple[Clara, list[str]]:
    rows, _ = load_pretrain_rows(None)
    corpus = list(texts(rows))
    shape = SHAPES[options.shape]
    tokenizer = train_tokenizer(corpus, shape.tokenizer_vocab)
    model = build_model(shape, tokenizer, rate=options.rate, dtype=options.dtype, device=device)
    # No token ends an answer, so that all have the same length.
    model.decoder.generation_config.eos_token_id = -1
    return model, corpus


def _first(system: System, question: str, documents: list[str], device: str) -> float:
    return timed(lambda: system.answer([question], [documents], 1), 1, device)[0]


def _cost(raw: dict[str, Any]) -> Cost:
    nested = ("first_token_s", "tokens_per_s", "questions_per_s", "compress_s")
    spreads = {name: Spread(**raw[name]) if raw[name] else None for name in nested}
    return Cost(**(raw | spreads))


def _shown(spread: Spread, factor: float = 1.0) -> str:
    median, low, high = (f"{v * factor:.3g}" for v in (spread.median, spread.low, spread.high))
    return f"{median} [{low}, {high}]"


def _say(text: str) -> None:
    sys.stderr.write(f"{text} ...\n")


if __name__ == "__main__":
    sys.exit(main())
