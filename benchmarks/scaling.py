"""What a workspace's documents cost, step by step, and what more of them would.

    python -m benchmarks.scaling WORKSPACE
    python -m benchmarks.scaling WORKSPACE --documents 1000000 --gpu H100 --model gpt-4.1-mini

Steps are read from the workspace's manifests: processor seconds, counts, sizes of what they left.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clara_model.errors import ClaraError, DataError
from configs.load import load_config
from configs.providers import PRESETS
from configs.schema import PipelineConfig
from tasks.llm.estimate import Line, count_images, estimate_captions, estimate_synthesis, find_texts
from tasks.manifests import Manifest, read_manifest
from tasks.training.dry_run import plan_stages
from tasks.training.machine import GPUS
from tasks.workspace import Workspace

STEPS = ("extract", "caption", "passages", "synthesize", "mine", "card")
# What else of a step's counts tells how large the documents were.
_TELLING = ("pages", "ocr_pages", "images", "captioned", "passages", "requests", "simple",
            "pretrain_rows", "end_to_end_rows")  # fmt: skip
_HOUR = 3600.0


@dataclass(frozen=True)
class Cost:
    """What one step took and left, for a thousand documents."""

    step: str
    cpu_seconds: float
    bytes: float
    counts: dict[str, float]


def measured_costs(workspace: Workspace) -> tuple[int, list[Cost]]:
    """Documents of a workspace, and each step's cost for a thousand of them.

    Raises:
        DataError: If a step has not run, or its manifest says nothing of processor time.
    """
    documents = int(_manifest(workspace, "extract")["counts"]["files"])
    return documents, [_cost(workspace, step, 1000 / documents) for step in STEPS]


def _cost(workspace: Workspace, step: str, scale: float) -> Cost:
    manifest = _manifest(workspace, step)
    if "cpu_seconds" not in manifest:
        raise DataError(
            f"{workspace.manifests / step}.json has no cpu_seconds: run the step again, "
            f"`clara {step} --force`"
        )
    left = [workspace.root / name for name in manifest["outputs"]]
    counts = {name: value * scale for name, value in manifest["counts"].items() if name in _TELLING}
    return Cost(step, manifest["cpu_seconds"] * scale, sum(map(_size, left)) * scale, counts)


def _manifest(workspace: Workspace, step: str) -> Manifest:
    manifest = read_manifest(workspace, step)
    if manifest is None:
        raise DataError(f"{workspace.root}: step '{step}' has not run there")
    return manifest


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def asked_for(config: PipelineConfig, workspace: Workspace, model: str) -> list[Line]:
    """Requests, tokens and list price of synthesis and captions with a model of the presets."""
    provider = next((name for name, preset in PRESETS.items() if model in preset.prices), None)
    if provider is None:
        known = sorted(name for preset in PRESETS.values() for name in preset.prices)
        raise DataError(f"--model {model}: its price is not known; known are {', '.join(known)}")
    tree = config.model_dump(mode="json", exclude={"captioning", "synthesis"})
    own = config.synthesis.model_dump(
        exclude={"provider", "base_url", "model", "models", "api_key", "structured_output",
                 "extra_body"}
    )  # fmt: skip
    endpoint = {"provider": provider, "model": model}
    paid = PipelineConfig.model_validate(
        {**tree, "captioning": endpoint, "synthesis": {**own, **endpoint}}
    )
    images, _ = count_images(paid, workspace)
    return [
        *estimate_captions(paid.captioning, images),
        *estimate_synthesis(paid, find_texts(paid, workspace)),
    ]


def table(documents: int, costs: Sequence[Cost]) -> Iterator[str]:
    """The measured part, as Markdown."""
    yield f"Measured on {documents} documents, for 1,000 of them:\n"
    yield "| step | processor seconds | left on disk | among it |"
    yield "|---|---|---|---|"
    for cost in costs:
        words = ", ".join(f"{name} {count:,.0f}" for name, count in cost.counts.items() if count)
        yield f"| {cost.step} | {cost.cpu_seconds:,.0f} | {cost.bytes / 1e6:,.1f} MB | {words} |"


def arithmetic(number: int, documents: int, costs: Sequence[Cost], cores: int) -> Iterator[str]:
    """Hours and bytes for another number of documents, each step growing with it but mining."""
    yield f"\n{number:,} documents, steps growing with their number, {cores} cores:\n"
    yield "| step | core hours | hours | left on disk |"
    yield "|---|---|---|---|"
    for cost in costs:
        hours = cost.cpu_seconds * number / 1000 / _HOUR
        size = cost.bytes * number / 1000
        yield f"| {cost.step} | {hours:,.0f} | {hours / cores:,.1f} | {size / 1e9:,.1f} GB |"


def money(lines: Sequence[Line], factor: float) -> Iterator[str]:
    """Requests, tokens and list prices."""
    for line in lines:
        cost = "unknown" if line.cost_usd is None else f"{line.cost_usd * factor:,.0f} USD"
        yield (
            f"| {line.step} | {line.model} | {line.calls * factor / 1e6:,.1f} M | "
            f"{line.prompt_tokens * factor / 1e9:,.2f} G | "
            f"{line.completion_tokens * factor / 1e9:,.2f} G | {cost} |"
        )


def gpu_hours(
    config: PipelineConfig, workspace: Workspace, gpu: str, factor: float
) -> Iterator[str]:
    """Training by the formulas of `clara train --dry-run`, on as many rows as there would be."""
    yield f"\n| stage | examples | tokens each | {gpu} hours |"
    yield "|---|---|---|---|"
    for plan in plan_stages(config, workspace, ["stage1", "stage2", "stage3"], gpu):
        hours = "unknown" if plan.seconds is None else f"{plan.seconds * factor / _HOUR:,.0f}"
        rows = (plan.rows or 0) * factor
        yield f"| {plan.stage} | {rows:,.0f} | {plan.tokens_per_example:,.0f} | {hours} |"


def main() -> None:
    """Print the tables as Markdown."""
    options = _options()
    workspace = Workspace(options.workspace)
    documents, costs = measured_costs(workspace)
    say = [*table(documents, costs)]
    if options.documents:
        factor = options.documents / documents
        config = load_config(options.config, [f"workspace={options.workspace}"])
        say += arithmetic(options.documents, documents, costs, options.cores)
        say += ["\n| step | model | requests | tokens sent | received | list price |",
                "|---|---|---|---|---|---|"]  # fmt: skip
        for model in options.model:
            say += money(asked_for(config, workspace, model), factor)
        say += gpu_hours(config, workspace, options.gpu, factor)
    sys.stdout.write("\n".join(say) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--documents", type=int, default=0, help="how many there would be")
    parser.add_argument("--cores", type=int, default=64)
    parser.add_argument("--gpu", default="H100", choices=list(GPUS))
    parser.add_argument("--config", type=Path, default=Path("configs/qwen3_4b.yaml"))
    parser.add_argument("--model", action="append", default=[], help="of the presets' price lists")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except ClaraError as err:
        sys.exit(f"error: {err}")
