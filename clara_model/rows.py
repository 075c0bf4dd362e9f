"""Row types of every JSONL file that training or evaluation reads, and their loader.

Formats are those of the authors' release and its data-pipeline fork. Nothing here imports torch.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clara_model.errors import DataError
from clara_model.row_dialects import normalise_row

log = logging.getLogger(__name__)

_MEND = "mend the line, or have the step that writes the file run again (`clara run` sees to it)"

Text = Annotated[str, Field(min_length=1)]


class Row(BaseModel):
    """Fields that every training row may carry; unknown ones (provenance) are kept.

    `origin` tells the generated world's rows from the user's documents.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str = ""
    origin: Literal["documents", "world"] = "documents"


class PretrainRow(Row):
    """Stage 1: one document with all its questions, or its paraphrase.

    For `paraphrase`, `answers` holds the paraphrases and `question` may be empty.
    """

    data_type: Literal["qa", "paraphrase"]
    question: list[str]
    answers: list[Text] = Field(min_length=1)
    docs: list[Text] = Field(min_length=1, max_length=1)

    @model_validator(mode="after")
    def _pairs_match(self) -> PretrainRow:
        if self.data_type == "qa" and len(self.question) != len(self.answers):
            raise ValueError(
                f"{len(self.question)} questions but {len(self.answers)} answers; "
                "a qa row needs one answer for each question"
            )
        return self


class _QuestionRow(Row):
    question: Text
    docs: list[Text] = Field(min_length=1)
    gold_answer: Text
    pos_index: list[int] = Field(default_factory=list)

    @model_validator(mode="after")
    def _positions_exist(self) -> _QuestionRow:
        outside = [i for i in self.pos_index if not 0 <= i < len(self.docs)]
        if outside:
            raise ValueError(f"pos_index {outside} outside the row's {len(self.docs)} docs")
        return self


class InstructionRow(_QuestionRow):
    """Stage 2: k documents, a question and the teacher's answer."""

    answer: Text


class EndToEndRow(_QuestionRow):
    """Stage 3 and benchmarks: N candidates; `pos_index` says which are gold (metrics only)."""


ROW_TYPES: dict[str, type[Row]] = {
    "stage1": PretrainRow,
    "stage2": InstructionRow,
    "stage3": EndToEndRow,
}


def read_rows(path: Path, stage: str) -> Iterator[dict[str, Any]]:
    """Yield the validated rows of a JSONL file for one stage, as plain dictionaries.

    Rows of other dialects (`clara_model.row_dialects`) are brought into ours; the log says once a
    file what was mapped.

    Args:
        path: A JSONL file in the format of `stage`, or in a known dialect of it.
        stage: "stage1", "stage2" or "stage3".

    Raises:
        DataError: If the file is missing or a row does not fit; names file, line and field.
    """
    row_type = ROW_TYPES[stage]
    said: set[str] = set()
    for number, record in read_jsonl(path):
        record, mapped = normalise_row(record, stage)
        if news := [change for change in mapped if change not in said]:
            said.update(news)
            log.info("%s:%d: rows of another dialect, mapped %s", path, number, ", ".join(news))
        try:
            yield row_type.model_validate(record).model_dump()
        except ValidationError as err:
            first = err.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "row"
            raise DataError(
                f"{path}:{number}: {field}: {first['msg']}. "
                f"Run `clara validate {path}` for the whole list."
            ) from err


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for each non-empty line of a JSONL file.

    Raises:
        DataError: If the file is missing, or a line is not a JSON object.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; run the step that writes it first")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8"))
            except (json.JSONDecodeError, UnicodeDecodeError) as err:
                why = err.msg if isinstance(err, json.JSONDecodeError) else "not UTF-8"
                raise DataError(f"{path}:{number}: not JSON ({why}); {_MEND}") from err
            if not isinstance(record, dict):
                raise DataError(f"{path}:{number}: expected a JSON object")
            yield number, record


def dump_line(record: dict[str, Any]) -> str:
    """One JSONL line of a record, readable in any language, keys in their given order."""
    return json.dumps(record, ensure_ascii=False, separators=(", ", ": ")) + "\n"


def count_rows(paths: Iterable[Path]) -> int:
    """Number of rows in the given JSONL files."""
    return sum(1 for path in paths for _ in read_jsonl(path))
