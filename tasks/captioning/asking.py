"""Many pictures asked about: here, or shard by shard elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from configs.base import ENDPOINT_NEUTRAL
from configs.schema import CaptioningSettings
from tasks.captioning.ask import Asker
from tasks.captioning.ocr_hint import OcrHints
from tasks.captioning.prompts import PROMPT_VERSION
from tasks.llm.client import ChatClient
from tasks.llm.endpoint import endpoint_url
from tasks.sharding.shards import (
    Done,
    FanOut,
    run_shards,
    share_of_endpoint,
    take_in,
    total_usage,
)
from tasks.storage import Journal, Record, hash_json
from tasks.workspace import Workspace

Answers = tuple[dict[str, Record], dict[str, float]]


def row_of(image: str, status: str, **fields: object) -> Record:
    """The row of a picture; fields that are left out are empty."""
    blank = {"caption": "", "reason": "", "model": "", "prompt_version": PROMPT_VERSION}
    return {"image": image, "status": status, **blank, **fields}


async def ask_about(
    images: Sequence[str],
    settings: CaptioningSettings,
    workspace: Workspace,
    base_url: str,
    hints_path: Path,
    advance: Callable[[str], None],
) -> Answers:
    """Rows of pictures, by picture, and what asking cost.

    Raises:
        ServiceError: If the endpoint refuses for good, or stops answering.
    """
    async with ChatClient(settings, base_url, workspace.cache) as client:
        with OcrHints(hints_path, settings) as hints:
            asker = Asker(client, settings, workspace.root, hints)
            rows = await _run(
                asker,
                images,
                settings.concurrency,
                lambda image: advance(f"{image}, {client.note()}"),
            )
            asker.check_outage(rows)
        hints.discard()
        return dict(zip(images, rows, strict=True)), client.counts()


def ask_in_shards(
    images: Sequence[str],
    settings: CaptioningSettings,
    workspace: Workspace,
    base_url: str,
    fan_out: FanOut,
) -> Answers:
    """As `ask_about`, by whoever does shards; finished ones are kept if the run is cut off."""
    decisive = settings.model_dump(mode="json", exclude=set(ENDPOINT_NEUTRAL))
    share = share_of_endpoint(settings, fan_out)
    work = partial(_ask_shard, settings=share, root=workspace.root.absolute(), base_url=base_url)
    path = workspace.progress / "caption.jsonl"
    with Journal(path, hash_json([decisive, PROMPT_VERSION])) as journal:
        take_in(journal)
        # What failed in an earlier run may have been the endpoint's fault.
        kept = {key for key, row in journal.records.items() if row["status"] != "failed"}
        missing = {image: image for image in images if image not in kept}
        usage = run_shards("caption", missing, work, journal, fan_out)
        rows = {image: journal.records[image] for image in images}
    journal.discard()
    ever = ChatClient(settings, base_url, workspace.cache).counts()
    return rows, total_usage(usage, ever)


def _ask_shard(
    images: Sequence[str], *, settings: CaptioningSettings, root: Path, base_url: str
) -> Done:
    """In a worker: some pictures; the embedded endpoint is wherever it is asked."""
    workspace = Workspace(root)
    hints = workspace.progress / f"caption-ocr-{hash_json(images)[:16]}.jsonl"
    with endpoint_url(settings) as own:
        address = own if settings.is_embedded else base_url
        rows, usage = asyncio.run(
            ask_about(images, settings, workspace, address, hints, lambda note: None)
        )
    return Done(rows, usage)


async def _run(
    asker: Asker, images: Sequence[str], concurrency: int, advance: Callable[[str], None]
) -> list[Record]:
    # Pictures are prepared when their turn comes: all at once they would fill the memory.
    slots = asyncio.Semaphore(concurrency)

    async def one(image: str) -> Record:
        async with slots:
            row = row_of(image, **await asker.describe(image))
        advance(image)
        return row

    tasks = [asyncio.create_task(one(image)) for image in images]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
