"""The captioning step: every picture of raw_knowledge.jsonl to one row of captions.jsonl."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from clara_model.errors import DataError, ServiceError
from configs.schema import CaptioningSettings, PipelineConfig
from tasks.captioning.prepare import prepare_image
from tasks.captioning.prompts import build_messages
from tasks.llm.client import ChatClient
from tasks.progress import progress
from tasks.storage import Record, Reject, StepResult, read_records, write_jsonl
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

STEP = "caption"
_REFUSAL = re.compile(
    r"^(i'?m sorry|i am sorry|sorry,|i can(no|')t|i am unable|as an ai|抱歉|对不起|很抱歉|我无法)",
    re.I,
)


def caption_images(config: PipelineConfig, workspace: Workspace, *, base_url: str) -> StepResult:
    """Ask a vision model about every extracted picture.

    Finished requests are in the client's cache: a run that was cut off asks nothing twice, and
    identical pictures are asked once.

    Args:
        config: The pipeline's settings; `captioning.enabled` false skips every picture.
        workspace: Where pictures lie and `captions.jsonl` goes.
        base_url: Where the endpoint really listens.

    Returns:
        Counts (images, captioned, skipped, failed, tokens) and the failed ones as rejects.

    Raises:
        ServiceError: If the endpoint refuses for good (key, model, quota), or none of the
            pictures got an answer.
    """
    images = list_images(workspace)
    settings = config.captioning
    usage = (0, 0)
    if settings.enabled and images:
        rows, usage = asyncio.run(_caption_all(images, settings, workspace, base_url))
    else:
        rows = [_row(image, "skipped", reason="captioning is off") for image in images]
    write_jsonl(workspace.captions, rows)
    states = [row["status"] for row in rows]
    counts: dict[str, float] = {
        "images": len(rows),
        "captioned": states.count("captioned"),
        "skipped": states.count("skipped"),
        "failed": states.count("failed"),
        "prompt_tokens": usage[0],
        "completion_tokens": usage[1],
    }
    failed = (row for row in rows if row["status"] == "failed")
    return StepResult(counts, tuple(Reject(STEP, row["image"], row["reason"]) for row in failed))


def list_images(workspace: Workspace) -> list[str]:
    """Pictures that the extracted documents name, each once, in their order."""
    rows = read_records(workspace.raw_knowledge)
    names = (name for row in rows for name in row.get("extracted_images", []))
    folder = workspace.extracted_assets.name
    return list(dict.fromkeys(f"{folder}/{name}" for name in names))


async def _caption_all(
    images: Sequence[str], settings: CaptioningSettings, workspace: Workspace, base_url: str
) -> tuple[list[Record], tuple[int, int]]:
    # Pictures are prepared when their turn comes: all at once they would fill the memory.
    slots = asyncio.Semaphore(settings.concurrency)
    outages: list[ServiceError] = []
    async with ChatClient(settings, base_url, workspace.cache) as client:
        with progress("caption", len(images)) as advance:
            tasks = [
                asyncio.create_task(
                    _caption_one(image, workspace.root, client, slots, outages, advance)
                )
                for image in images
            ]
            try:
                rows = await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
        used = client.usage.values()
        tokens = (sum(u.prompt_tokens for u in used), sum(u.completion_tokens for u in used))
    if outages and not any(row["status"] == "captioned" for row in rows):
        raise outages[0]
    return rows, tokens


async def _caption_one(
    image: str,
    root: Path,
    client: ChatClient,
    slots: asyncio.Semaphore,
    outages: list[ServiceError],
    advance: Callable[..., None],
) -> Record:
    settings = client.settings
    assert isinstance(settings, CaptioningSettings)
    async with slots:
        try:
            jpeg = await asyncio.to_thread(prepare_image, root / image, settings)
            reply = await client.ask(
                build_messages(jpeg),
                max_tokens=settings.max_tokens,
                temperature=0.0,
                purpose=STEP,
            )
            row = _judge(image, reply.text, settings.model)
        except DataError as err:
            row = _row(image, "failed", reason=str(err))
        except ServiceError as err:
            if not _concerns_one(err):
                raise
            if err.retryable:
                outages.append(err)
            row = _row(image, "failed", reason=str(err), model=settings.model)
    advance(note=image)
    return row


def _concerns_one(err: ServiceError) -> bool:
    """Whether other pictures may fare better: refused contents, or no answer in time."""
    from tasks.llm.client import RequestRefused

    return err.retryable or isinstance(err, RequestRefused)


def _judge(image: str, text: str, model: str) -> Record:
    caption = " ".join(text.split())
    if not caption:
        return _row(image, "failed", reason="the model's reply is empty", model=model)
    if _REFUSAL.match(caption):
        return _row(image, "failed", reason=f"the model refused: {caption[:120]}", model=model)
    return _row(image, "captioned", caption=caption, model=model)


def _row(
    image: str, status: str, *, caption: str = "", reason: str = "", model: str = ""
) -> Record:
    return {"image": image, "status": status, "caption": caption, "reason": reason, "model": model}
