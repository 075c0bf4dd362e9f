"""One row mended: what is certain is put right, else the row is left out with a reason."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from clara_model.row_dialects import guess_stage, normalise_row
from clara_model.rows import ROW_TYPES
from tasks.negatives.answers import is_closed, plain_answer, plain_text
from tasks.rows.checks import documents_with_answer
from tasks.rows.clean_refs import clean_row
from tasks.rows.documents import digest, judge_document, keep_documents, trim_to_sentences
from tasks.rows.validate import schema_faults
from tasks.storage import Record

# What was mended: the check that would have failed, and what was done.
Made = list[tuple[str, str]]


class Unmendable(Exception):
    """A row that is to be left out, because of which check and why."""

    def __init__(self, check: str, what: str) -> None:
        super().__init__(what)
        self.check, self.what = check, what


@dataclass(frozen=True)
class Rules:
    """What rows are mended by; see `tasks.rows.fix.fix_file`."""

    stage: str | None = None
    top_k: int | None = None
    strict: bool = False
    passages: Collection[int] = ()


def mend_row(record: Record, rules: Rules, made: Made) -> tuple[str, Record]:
    """The stage of a row, and the row without the faults that it shows by itself.

    Args:
        record: A row as it was read; not changed.
        rules: Stage, top-k, and how far to go.
        made: Is added to.

    Raises:
        Unmendable: If the row is to be left out.
    """
    stage = rules.stage or guess_stage(record)
    row, mapped = normalise_row(record, stage)
    made += [("schema", f"mapped {change}") for change in mapped]
    _mend_positions_form(row, made)
    _mend_documents(row, rules, made)
    if stage == "stage1":
        _mend_pairs(row, made)
    try:
        ROW_TYPES[stage].model_validate(row)
    except ValidationError as err:
        raise Unmendable("schema", f"{stage}: {next(schema_faults(err))}") from None
    before = copy.deepcopy(row)
    row, _, reason = clean_row(row, stage)
    if reason:
        raise Unmendable("references", reason)
    if row != before:
        made.append(("references", "image marks and questions about files removed"))
        _mend_documents(row, rules, made)  # some were nothing but marks
    _mend_repeats(row, made)
    if stage != "stage1":
        _mend_positions(row, made, strict=rules.strict)
        _mend_top_k(row, stage, rules.top_k, made)
    return stage, row


def _mend_positions_form(row: Record, made: Made) -> None:
    """Positions as whole numbers, each once, of documents that there are."""
    given, docs = row.get("pos_index"), row.get("docs")
    if not isinstance(given, list) or not isinstance(docs, list):
        return
    places = [_whole(value) for value in given]
    kept = list(dict.fromkeys(p for p in places if p is not None and 0 <= p < len(docs)))
    if kept != given or any(type(value) is not int for value in given):
        row["pos_index"] = kept
        made.append(("pos_index", f"{_short(given)} became {kept}"))


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else None


def _mend_documents(row: Record, rules: Rules, made: Made) -> None:
    docs = row.get("docs")
    if not isinstance(docs, list) or not all(isinstance(text, str) for text in docs):
        return
    if rules.strict:
        _trim(row, rules.passages, made)
        docs = row["docs"]
    unfit = [i for i, text in enumerate(docs) if _is_unfit(text, rules.passages)]
    if not unfit:
        return
    if set(unfit) & set(_golds(row)) or len(unfit) == len(docs):
        raise Unmendable("documents", f"gold document {unfit[0]} is empty, cut, or no passage")
    keep_documents(row, [i for i in range(len(docs)) if i not in unfit])
    made.append(("documents", f"documents {unfit} left out: empty, cut, or no passage"))


def _is_unfit(text: str, passages: Collection[int]) -> bool:
    if passages and digest(text) not in passages:
        return True
    return judge_document(text) in ("empty", "broken")


def _trim(row: Record, passages: Collection[int], made: Made) -> None:
    for place, text in enumerate(row["docs"]):
        if digest(text) in passages or judge_document(text) != "cut":
            continue
        trimmed = trim_to_sentences(text)
        row["docs"] = [*row["docs"][:place], trimmed, *row["docs"][place + 1 :]]
        made.append(("documents", f"document {place} trimmed to whole sentences"))
        if place in _golds(row):
            _forget_lost(row, text, trimmed)


def _forget_lost(row: Record, text: str, trimmed: str) -> None:
    """Leave out pairs whose answer stood in the part that was trimmed away."""

    def lost(answer: Any) -> bool:
        if not isinstance(answer, str) or is_closed(answer):
            return False
        wanted = plain_answer(answer)
        return wanted in plain_text(text) and wanted not in plain_text(trimmed)

    if lost(row.get("gold_answer")):
        raise Unmendable("documents", "its answer stood in the torn end of its gold document")
    asked, answers = row.get("question"), row.get("answers")
    if isinstance(asked, list) and isinstance(answers, list) and len(asked) == len(answers):
        kept = [i for i, answer in enumerate(answers) if not lost(answer)]
        if not kept:
            raise Unmendable("documents", "its answers stood in the torn end of its document")
        row["question"], row["answers"] = [asked[i] for i in kept], [answers[i] for i in kept]


def _mend_pairs(row: Record, made: Made) -> None:
    """Blank pairs out; what is said of one pair each (kinds, requests) follows."""
    asked, answers = row.get("question"), row.get("answers")
    if not isinstance(asked, list) or not isinstance(answers, list):
        return
    size, is_qa = len(answers), row.get("data_type") == "qa"
    if is_qa and len(asked) != size:
        raise Unmendable("schema", f"{len(asked)} questions but {size} answers")
    kept = [
        i
        for i in range(size)
        if isinstance(answers[i], str)
        and answers[i].strip()
        and (not is_qa or (isinstance(asked[i], str) and asked[i].strip()))
    ]
    if len(kept) == size:
        return
    if not kept:
        raise Unmendable("schema", "no pair of question and answer is left")
    for key in ("answers", "question", "kinds") if is_qa else ("answers",):
        value = row.get(key)
        if isinstance(value, list) and len(value) == size:
            row[key] = [value[i] for i in kept]
    made.append(("schema", f"{size - len(kept)} blank pairs left out"))


def _mend_repeats(row: Record, made: Made) -> None:
    """Each document once, the gold one of two."""
    golds = set(_golds(row))
    first: dict[str, int] = {}
    for place in sorted(range(len(row["docs"])), key=lambda place: (place not in golds, place)):
        first.setdefault(row["docs"][place], place)
    if len(first) < len(row["docs"]):
        made.append(("documents", f"{len(row['docs']) - len(first)} repeated documents left out"))
        keep_documents(row, sorted(first.values()))


def _mend_positions(row: Record, made: Made, *, strict: bool) -> None:
    """Golds that do not hold the answer give way to the only document that does.

    Golds that nobody stated are a guess: for those who ask for strictness, and never in the
    generated world, where a namesake's document may hold the same answer.
    """
    golds, holding = _golds(row), documents_with_answer(row)
    if not holding or set(golds) & set(holding):
        return
    if not golds and (not strict or row.get("origin") == "world"):
        return
    if len(holding) == 1:
        row["pos_index"] = holding
        made.append(("pos_index", f"{golds} became {holding}, where the answer stands"))
    elif golds:
        raise Unmendable("pos_index", f"the answer stands in {holding}, not in the golds {golds}")


def _mend_top_k(row: Record, stage: str, top_k: int | None, made: Made) -> None:
    if top_k is None:
        return
    size, golds = len(row["docs"]), row["pos_index"]
    if size < top_k or (stage == "stage2" and len(golds) > top_k):
        raise Unmendable("top_k", f"{size} documents, {len(golds)} of them gold; top_k is {top_k}")
    if stage == "stage2" and size > top_k:
        others = [i for i in range(size) if i not in golds][: top_k - len(golds)]
        keep_documents(row, sorted([*golds, *others]))
        made.append(("top_k", f"{size - top_k} of {size} documents left out"))


def _golds(row: Record) -> list[int]:
    """Places of the gold documents that a row states; a pretraining row's only document."""
    stated = row.get("pos_index")
    if isinstance(stated, list):
        return stated
    return [0] if "answers" in row else []


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
