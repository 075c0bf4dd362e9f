"""Other people's rows in our words: the dialects of released and third-party files.

Known: the authors' pretraining rows, the data-pipeline fork's instruction rows (instruction, input,
output) and end-to-end rows without positions, and the names that open QA sets use for answers and
documents (golden_answers, context, content, ctxs, ...).
"""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]

_QUESTION = ("query", "instruction", "prompt")
_QUESTIONS = ("questions", *_QUESTION)
_GOLD = ("golden_answers", "gold_answers", "answers", "target", "output", "response")
_ANSWER = ("output", "response", "target")
_DOCS = (
    "documents", "passages", "paragraphs", "contexts", "context", "ctxs", "content", "contents",
    "document", "doc", "passage", "text",
)  # fmt: skip
_POSITIONS = ("positive_index", "positive_indices", "pos_idx", "gold_index")
_TEXT_KEYS = ("text", "content", "contents", "passage", "paragraph_text", "body")
_TYPES = ("qa", "paraphrase")


def normalise_row(record: Record, stage: str) -> tuple[Record, list[str]]:
    """Bring a row of any known dialect into the format of its stage.

    Nothing is guessed: positions of golds that a row does not state stay empty, and what fits no
    dialect is left as it is for the schema to refuse. Fields that were not mapped are kept.

    Args:
        record: A row as it stands in a file; not changed.
        stage: "stage1", "stage2" or "stage3".

    Returns:
        The row, and what was mapped, as "old -> new" (empty for a row in our own format).
    """
    row = dict(record)
    mapped: list[str] = []
    if isinstance(row.get("id"), int):
        row["id"] = str(row["id"])
        mapped.append("id number -> text")
    if stage == "stage1":
        _normalise_pretrain(row, mapped)
    else:
        _normalise_question(row, mapped, with_answer=stage == "stage2")
    return row, mapped


def guess_stage(record: Record) -> str:
    """The stage a row is for, by its `stage` if it says so, else by its fields."""
    if record.get("stage") in ("stage1", "stage2", "stage3"):
        return str(record["stage"])
    if record.get("data_type") in _TYPES or "questions" in record:
        return "stage1"
    if isinstance(record.get("question"), list):
        return "stage1"
    if any(key in record for key in ("answer", "output", "response", "instruction")):
        return "stage2"
    return "stage3"


def _normalise_pretrain(row: Record, mapped: list[str]) -> None:
    _rename(row, _QUESTIONS, "question", mapped)
    _rename(row, ("answer", "gold_answer", *_GOLD, "paraphrase", "paraphrases"), "answers", mapped)
    _normalise_docs(row, mapped)
    for key in ("question", "answers"):
        if isinstance(row.get(key), str):
            row[key] = [row[key]]
            mapped.append(f"{key} text -> list")
    # A paraphrase row has nothing to ask; some files leave the field out.
    if row.get("data_type") == "paraphrase" and row.get("question") is None:
        row["question"] = [""]
        mapped.append("no question -> empty")
    if row.get("data_type") is None and row.get("question"):
        row["data_type"] = "qa"
        mapped.append("no data_type -> qa")


def _normalise_question(row: Record, mapped: list[str], *, with_answer: bool) -> None:
    if isinstance(row.get("instruction"), str) and row.get("question") is None:
        _join_instruction(row, mapped)
    _rename(row, _QUESTION, "question", mapped)
    _take_single_question(row, mapped)
    if with_answer:
        _rename(row, _ANSWER, "answer", mapped)
    _rename(row, _GOLD, "gold_answer", mapped)
    if row.get("gold_answer") is None and row.get("answer") is not None:
        row["gold_answer"] = row["answer"]
        mapped.append("answer -> gold_answer")
    _take_first_answer(row, mapped)
    if with_answer and row.get("answer") is None and row.get("gold_answer") is not None:
        row["answer"] = row["gold_answer"]
        mapped.append("gold_answer -> answer")
    _rename(row, _POSITIONS, "pos_index", mapped)
    _normalise_docs(row, mapped)
    if row.get("pos_index") is None:
        row["pos_index"] = []
        mapped.append("no pos_index -> empty")
    elif isinstance(row["pos_index"], int) and not isinstance(row["pos_index"], bool):
        row["pos_index"] = [row["pos_index"]]
        mapped.append("pos_index number -> list")


def _rename(row: Record, olds: tuple[str, ...], new: str, mapped: list[str]) -> None:
    """Give the first of the old names that is there its new one, if that is free."""
    if row.get(new) is not None:
        return
    for old in olds:
        if row.get(old) not in (None, "", []):
            row[new] = row.pop(old)
            mapped.append(f"{old} -> {new}")
            return


def _join_instruction(row: Record, mapped: list[str]) -> None:
    instruction, more = row.pop("instruction"), row.pop("input", None)
    if isinstance(more, str) and more.strip():
        row["question"] = f"{instruction}\n{more}"
        mapped.append("instruction + input -> question")
    else:
        row["question"] = instruction
        mapped.append("instruction -> question")


def _take_single_question(row: Record, mapped: list[str]) -> None:
    question = row.get("question")
    if isinstance(question, list) and len(question) == 1:
        row["question"] = question[0]
        mapped.append("question list -> text")


def _take_first_answer(row: Record, mapped: list[str]) -> None:
    """The first of several golds is the row's; all of them stay in `golden_answers`."""
    for key in ("gold_answer", "answer"):
        value = row.get(key)
        if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
            if len(value) > 1:
                row.setdefault("golden_answers", value)
            row[key] = value[0]
            mapped.append(f"{key} list -> first")


def _normalise_docs(row: Record, mapped: list[str]) -> None:
    _rename(row, _DOCS, "docs", mapped)
    docs = row.get("docs")
    if isinstance(docs, str):
        row["docs"] = [docs]
        mapped.append("docs text -> list")
    elif isinstance(docs, list):
        _take_supporting(row, docs, mapped)
        texts = [_document_text(doc) for doc in docs]
        if texts != docs:
            row["docs"] = texts
            mapped.append("docs objects -> texts")


def _take_supporting(row: Record, docs: list[Any], mapped: list[str]) -> None:
    """Golds that the documents themselves name (MuSiQue's `is_supporting`)."""
    stated = [doc.get("is_supporting") for doc in docs if isinstance(doc, dict)]
    if "pos_index" not in row and len(stated) == len(docs) and True in stated:
        row["pos_index"] = [i for i, supporting in enumerate(stated) if supporting is True]
        mapped.append("is_supporting -> pos_index")


def _document_text(doc: Any) -> Any:
    """The text of a document given as {title, text} or as [title, sentences]; else as it is."""
    if isinstance(doc, dict):
        text = next((doc[key] for key in _TEXT_KEYS if isinstance(doc.get(key), str)), None)
        title = doc.get("title")
    elif isinstance(doc, list) and len(doc) == 2 and isinstance(doc[1], list):
        title, text = doc[0], " ".join(str(sentence).strip() for sentence in doc[1])
    else:
        return doc
    if text is None:
        return doc
    return f"{title}\n{text}" if isinstance(title, str) and title.strip() else text
