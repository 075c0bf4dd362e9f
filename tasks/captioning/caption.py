"""The captioning step: every picture of raw_knowledge.jsonl to one row of captions.jsonl."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from configs.schema import CaptioningSettings, PipelineConfig
from tasks.captioning.asking import ask_about, ask_in_shards, row_of
from tasks.captioning.look import Look, describe_rule, look_at_images
from tasks.progress import progress
from tasks.sharding.shards import FanOut, may_be_shared
from tasks.storage import Record, Reject, StepResult, read_records, write_jsonl
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

STEP = "caption"
_MARK = re.compile(r"\[IMAGE_REF:\s*([^\]]*?)\s*\]")
_STATES = ("captioned", "skipped", "refused", "failed")


def caption_images(
    config: PipelineConfig, workspace: Workspace, *, base_url: str, fan_out: FanOut | None = None
) -> StepResult:
    """Ask a vision model about every extracted picture that is worth it.

    Pictures that show the same are asked about once, decoration never. Finished requests are in
    the client's cache: a run that was cut off asks nothing twice.

    Args:
        config: The pipeline's settings; `captioning.enabled` false skips every picture.
        workspace: Where pictures lie and `captions.jsonl` goes.
        base_url: Where the endpoint really listens.
        fan_out: Who asks, shard by shard; by default this process.

    Returns:
        Counts (images, distinct, captioned, skipped, refused, failed, tokens; skipped ones by
        kind) and the refused and failed ones as rejects.

    Raises:
        ServiceError: If the endpoint refuses for good (key, model, quota), or stops answering.
    """
    uses = count_uses(workspace)
    settings = config.captioning
    usage: dict[str, float] = {"prompt_tokens": 0, "completion_tokens": 0}
    if settings.enabled and uses:
        looks = look_at_images(list(uses), workspace.root, uses, settings)
        _say_what_is_skipped(looks, settings)
        asked = [look.image for look in looks if _is_asked(look)]
        if fan_out is not None and may_be_shared(STEP, settings):
            answers, usage = ask_in_shards(asked, settings, workspace, base_url, fan_out)
        else:
            answers, usage = asyncio.run(_ask_all(asked, settings, workspace, base_url))
        rows = [_row_of(look, answers) for look in looks]
    else:
        rows = [row_of(image, "skipped", reason="captioning is off") for image in uses]
        asked = []
    write_jsonl(workspace.captions, rows)
    return StepResult(
        _count(rows, len(asked), usage),
        tuple(
            Reject(STEP, row["image"], row["reason"])
            for row in rows
            if row["status"] in ("failed", "refused")
        ),
    )


def count_uses(workspace: Workspace) -> dict[str, int]:
    """Pictures that the extracted documents name, in their order, and how often each is shown."""
    folder = workspace.extracted_assets.name
    uses: Counter[str] = Counter()
    for row in read_records(workspace.raw_knowledge):
        marks = Counter(_MARK.findall(row.get("content", "")))
        for name in dict.fromkeys(row.get("extracted_images", [])):
            image = f"{folder}/{name}"
            uses[image] += max(1, marks[image])
    return dict(uses)


def _is_asked(look: Look) -> bool:
    return look.same_as == look.image and not look.decoration and not look.fault


def _say_what_is_skipped(looks: Sequence[Look], settings: CaptioningSettings) -> None:
    kinds = Counter(look.decoration for look in looks if look.decoration)
    if settings.skip_decoration:
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
        log.info("%s: decoration is skipped: %s; found %s", STEP, describe_rule(settings), found)
    repeated = sum(look.same_as != look.image for look in looks)
    log.info("%s: %d of %d pictures repeat another one", STEP, repeated, len(looks))


async def _ask_all(
    images: Sequence[str], settings: CaptioningSettings, workspace: Workspace, base_url: str
) -> tuple[dict[str, Record], dict[str, float]]:
    hints = workspace.progress / "caption-ocr.jsonl"
    with progress(STEP, len(images)) as advance:
        return await ask_about(
            images, settings, workspace, base_url, hints, lambda note: advance(note=note)
        )


def _row_of(look: Look, answers: Mapping[str, Record]) -> Record:
    if look.fault:
        return row_of(look.image, "failed", reason=look.fault)
    if look.decoration:
        return row_of(look.image, "skipped", reason=f"{look.decoration}: {look.detail}")
    if look.same_as == look.image:
        return answers[look.image]
    return answers[look.same_as] | {"image": look.image, "same_as": look.same_as}


def _count(rows: Sequence[Record], distinct: int, usage: Mapping[str, float]) -> dict[str, float]:
    states = Counter(row["status"] for row in rows)
    kinds = Counter(row["reason"].partition(":")[0] for row in rows if row["status"] == "skipped")
    return {
        "images": len(rows),
        "distinct": distinct,
        **{state: states[state] for state in _STATES},
        **{f"skipped_{kind}": kinds[kind] for kind in ("icon", "rule", "blank", "logo")},
        **usage,
    }
