from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_model.errors import DataError
from tasks.rows.clean_refs import asks_about_file, clean_refs, has_marks, remove_marks
from tasks.rows.validate import validate_file
from tasks.storage import StepResult, read_records, write_jsonl

MARK = "[IMAGE_REF: extracted_assets/plan of site.png]"
TEXT = "The tower of Osterly was built in 1911."


@pytest.mark.parametrize(
    ("text", "clean", "marks"),
    [
        (f"Before {MARK} after.", "Before after.", 1),
        (f"One.\n\n{MARK}\n\nTwo.", "One.\n\nTwo.", 1),
        (MARK, "", 1),
        ("See ![plan](img/plan.png) here.", "See here.", 1),
        ("As shown in chart_01.PNG, sales rose.", "As shown in, sales rose.", 1),
        ("The bridge (see figures/3.jpg) is long.", "The bridge is long.", 1),
        ("如图chart.png所示，销量上升。", "如图 所示，销量上升。", 1),
        ("参见：销售图.jpeg。", "参见：。", 1),
        ("From https://example.org/a/b.png we know.", "From we know.", 1),
        ("Saved as /home/me/x.webp and 'y.gif'.", "Saved as and.", 2),
        ("Version 1.2 of robots.txt, e.g. pngs", "Version 1.2 of robots.txt, e.g. pngs", 0),
        ("  two  spaces stay  ", "  two  spaces stay  ", 0),
    ],
)
def test_marks_and_image_names_leave_the_text(text: str, clean: str, marks: int) -> None:
    assert remove_marks(text) == (clean, marks)


@given(st.text(alphabet="ab. /_-图()[]\"'1pngj!：", max_size=30), st.booleans())
def test_a_cleaned_text_has_no_marks_left(text: str, with_mark: bool) -> None:
    clean, _ = remove_marks(text + MARK if with_mark else text)
    assert not with_mark or MARK not in clean
    assert has_marks(text) == (remove_marks(text)[1] > 0)


def test_long_runs_without_spaces_take_no_time() -> None:
    started = time.perf_counter()
    remove_marks("a/b." * 50_000 + " " + "图" * 50_000)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    "question",
    [
        "What does chart_3.png show?",
        "Who wrote report.docx?",
        "Which file names the tower?",
        "What is the file name of the plan?",
        "图表.png显示了什么？",
        "这个文件讲了什么？",
        "What is in [IMAGE_REF: x]?",
    ],
)
def test_questions_about_files_are_recognised(question: str) -> None:
    assert asks_about_file(question)


@pytest.mark.parametrize(
    "question",
    ["Who built the tower?", "Which file system does it use?", "What is robots.txt for?",
     "Was Dr. No in the file room?", "文件系统是什么？"],
)  # fmt: skip
def test_other_questions_are_left_alone(question: str) -> None:
    assert not asks_about_file(question)


def clean(tmp_path: Path, *rows: dict[str, Any]) -> tuple[list[dict[str, Any]], StepResult]:
    write_jsonl(tmp_path / "old.jsonl", rows)
    result = clean_refs(tmp_path / "old.jsonl", tmp_path / "new.jsonl")
    return read_records(tmp_path / "new.jsonl"), result


def pretrain(**fields: Any) -> dict[str, Any]:
    row = {"data_type": "qa", "question": ["Who?", "When?"], "answers": ["Mara", "1911"]}
    return row | {"docs": [TEXT]} | fields


def instruct(**fields: Any) -> dict[str, Any]:
    row = {"question": "When?", "docs": [TEXT, "Another text entirely."], "gold_answer": "1911"}
    return row | {"answer": "In 1911.", "pos_index": [0]} | fields


def test_rows_without_marks_are_written_as_they_are(tmp_path: Path) -> None:
    rows = [pretrain(), instruct(), {"instruction": "Q", "output": "A", "docs": ["D  d"]}]
    cleaned, result = clean(tmp_path, *rows)
    assert cleaned == rows
    assert result.counts == {
        "rows_in": 3,
        "rows_out": 3,
        "changed": 0,
        "marks_removed": 0,
        "rejected": 0,
    }


def test_marks_go_from_documents_and_answers(tmp_path: Path) -> None:
    (row, other), result = clean(
        tmp_path,
        pretrain(docs=[f"{TEXT} {MARK}"], answers=["Mara (see a.png)", "1911"]),
        instruct(answer=f"In 1911. {MARK}", docs=[TEXT, f"x {MARK}"]),
    )
    assert row == pretrain(answers=["Mara", "1911"])
    assert other == instruct(docs=[TEXT, "x"])
    assert result.counts["marks_removed"] == 4
    assert result.counts["changed"] == 2


def test_a_pair_that_asks_about_a_file_goes_and_the_others_stay(tmp_path: Path) -> None:
    (row,), _ = clean(tmp_path, pretrain(question=["What shows a.png?", "When?"]))
    assert (row["question"], row["answers"]) == (["When?"], ["1911"])


def test_a_document_of_marks_alone_goes_and_positions_follow(tmp_path: Path) -> None:
    (row,), _ = clean(tmp_path, instruct(docs=[MARK, "Another text.", TEXT], pos_index=[2]))
    assert row["docs"] == ["Another text.", TEXT]
    assert row["pos_index"] == [1]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (instruct(question="What does x.png show?"), "its question asks about a file"),
        (instruct(gold_answer="x.png"), "its answer is nothing but a file name"),
        (instruct(docs=[MARK, TEXT]), "its gold document holds nothing but image marks"),
        (pretrain(docs=[MARK]), "its document holds nothing but image marks"),
        (pretrain(question=["a.png?", "b.png?"]), "all its questions ask about a file"),
        (pretrain(question=["a.png?"]), "1 questions but 2 answers"),
        (pretrain(data_type="paraphrase", question=[""], answers=[MARK]), "its paraphrase is"),
        ({"question": f"Q {MARK}", "answer": "A"}, "no docs"),
    ],
)
def test_a_row_that_loses_its_point_is_set_aside(
    tmp_path: Path, row: dict[str, Any], reason: str
) -> None:
    cleaned, result = clean(tmp_path, instruct(), row | {"id": "r7"})
    assert cleaned == [instruct()]
    (reject,) = result.rejects
    assert (reject.step, reject.item) == ("clean-refs", "old.jsonl:2 (r7)")
    assert reject.reason.startswith(reason)


def test_image_names_in_provenance_are_no_marks(tmp_path: Path) -> None:
    row = pretrain(source="photo.png", extracted_images=["a.png"])
    assert clean(tmp_path, row)[0] == [row]


def test_cleaned_rows_of_another_dialect_are_valid(tmp_path: Path) -> None:
    row = {"instruction": "When?", "input": "", "output": "1911", "docs": [f"{TEXT} {MARK}"]}
    cleaned, _ = clean(tmp_path, row)
    assert cleaned[0]["docs"] == [TEXT]
    assert validate_file(tmp_path / "new.jsonl").is_valid


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "old.jsonl", [pretrain()])
    with pytest.raises(DataError, match="would overwrite its source"):
        clean_refs(tmp_path / "old.jsonl", tmp_path / "." / "old.jsonl")
