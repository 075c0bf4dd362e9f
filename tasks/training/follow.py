"""Follow a training run by the files that its first rank writes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from clara_model.training.spec import MEMORY_PROGRESS, TrainSpec
from tasks.progress import progress

log = logging.getLogger(__name__)

Line = dict[str, Any]


class MetricsFollower:
    """Shows progress and hands new metric lines on, each once.

    Args:
        spec: The training run.
        on_metrics: Called with new lines, in order. If it fails, training goes on: the lines are
            in the metrics file, and are handed over once more with the next ones.
    """

    def __init__(self, spec: TrainSpec, on_metrics: Callable[[list[Line]], None] | None) -> None:
        self._spec = spec
        self._on_metrics = on_metrics
        self._pending: list[Line] = []
        self._has_warned = False
        self._bar = ExitStack()
        self._advance: Callable[..., None] | None = None
        self._phase = ""
        self._done = 0
        self._held_out = ""
        # Lines of an earlier try stay in the file until the first rank has cut it.
        self._file = _inode(spec)
        self._offset = 0

    def __enter__(self) -> MetricsFollower:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def poll(self) -> None:
        """Read what is new."""
        lines = self._read_lines()
        if not lines:
            self._show_memory()
            return
        last = lines[-1]
        self._held_out = next((_held_out(line) for line in reversed(lines) if "eval_loss" in line),
                              self._held_out)  # fmt: skip
        note = describe_line(last) + self._held_out
        self._show(f"training {self._spec.stage}", last["step"], last["steps"], note,
                   last.get("eta_s"))  # fmt: skip
        self._hand_on(lines)

    def _hand_on(self, lines: list[Line]) -> None:
        if self._on_metrics is None:
            return
        self._pending += lines
        try:
            self._on_metrics(list(self._pending))
        except Exception as err:  # noqa: BLE001 - whatever a tracking server does, training goes on
            if not self._has_warned:
                log.warning(
                    "metrics were not recorded (%s: %s); training goes on, and they are in %s",
                    type(err).__name__, err, self._spec.metrics_path,
                )  # fmt: skip
            self._has_warned = True
        else:
            self._pending = []

    def _read_lines(self) -> list[Line]:
        if _inode(self._spec) in (self._file, None):
            return []
        with self._spec.metrics_path.open("rb") as stream:
            stream.seek(self._offset)
            new = stream.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def _show_memory(self) -> None:
        path = self._spec.logs / MEMORY_PROGRESS
        if self._phase.startswith("training") or not path.is_file():
            return
        state = json.loads(path.read_text(encoding="utf-8"))
        self._show("compressing documents", state["done"], state["total"], "")

    def _show(
        self, phase: str, done: int, total: int, note: str, left_s: float | None = None
    ) -> None:
        if phase != self._phase:
            self._bar.close()
            self._advance = self._bar.enter_context(progress(phase, total))
            self._phase, self._done = phase, 0
        if self._advance is not None:
            self._advance(done - self._done, note, left_s)
        self._done = done


def describe_line(line: Line) -> str:
    """A step in words: loss, examples and tokens a second, GPU memory."""
    parts = [f"loss {line['loss']:.3f}" if line["loss"] is not None else "loss not finite"]
    parts.append(f"{line['examples_per_s']:.0f} examples/s")
    if "tokens_per_s" in line:
        parts.append(f"{line['tokens_per_s']:.0f} tokens/s")
    if "gpu_gb" in line:
        parts.append(f"{line['gpu_gb']:.1f} GB of GPU memory")
    return ", ".join(parts)


def _held_out(line: Line) -> str:
    loss = line["eval_loss"]
    return f", held out {loss:.3f}" if loss is not None else ", held out not finite"


def _inode(spec: TrainSpec) -> int | None:
    return spec.metrics_path.stat().st_ino if spec.metrics_path.exists() else None
