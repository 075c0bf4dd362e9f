"""The teacher: a model's own answers to instruction rows, from the documents that a row shows."""

from __future__ import annotations

from dataclasses import dataclass, field

from configs.schema import PipelineConfig
from tasks.storage import Record, Reject
from tasks.workspace import Workspace


@dataclass(frozen=True)
class TeacherResult:
    """Answers and the requests that brought them, both by row id; and rows without an answer."""

    answers: dict[str, str] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    rejects: tuple[Reject, ...] = ()


def teach(rows: list[Record], config: PipelineConfig, workspace: Workspace) -> TeacherResult:
    """Ask the teacher model each row's question, with the row's documents in front of it.

    Args:
        rows: Instruction rows with `id`, `question` and `docs` (the k documents, in order).
        config: The pipeline's settings; the teacher is part of `synthesis`.
        workspace: Where replies are kept, so that nothing is asked twice.
    """
    raise NotImplementedError
