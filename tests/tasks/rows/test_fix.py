from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from clara_model.errors import ConfigError
from tasks.rows.fix import FixReport, fix_file
from tasks.rows.validate import validate_file
from tasks.storage import read_records, write_jsonl

TOWER = "The tower of Osterly was built in 1911 by Mara Venn."
FERRY = "The ferry to Norrin leaves every morning at seven."
TEA = "云台茶园位于北山，茶树种于清代，春天采茶。"


def question(**fields: Any) -> dict[str, Any]:
    row = {"question": "Who built the tower?", "docs": [FERRY, TOWER, TEA]}
    return row | {"gold_answer": "Mara Venn", "pos_index": [1]} | fields


def fix(tmp_path: Path, *rows: Any, **options: Any) -> tuple[list[dict[str, Any]], FixReport]:
    path = tmp_path / "rows.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    before = path.read_bytes()
    report = fix_file(path, tmp_path / "fixed.jsonl", **options)
    assert path.read_bytes() == before
    assert report.after is not None
    return read_records(report.out), report


@pytest.mark.parametrize(
    ("fields", "expected", "check"),
    [
        ({"pos_index": ["1"]}, {"pos_index": [1]}, "pos_index"),
        ({"pos_index": [1, 1, 9]}, {"pos_index": [1]}, "pos_index"),
        ({"pos_index": [0]}, {"pos_index": [1]}, "pos_index"),
        ({"docs": [FERRY, TOWER, " "]}, {"docs": [FERRY, TOWER]}, "documents"),
        ({"docs": ["", TOWER, TEA]}, {"docs": [TOWER, TEA], "pos_index": [0]}, "documents"),
        ({"docs": [TOWER, TOWER, TEA]}, {"docs": [TOWER, TEA], "pos_index": [0]}, "documents"),
        ({"docs": [FERRY + " [IMAGE_REF: a.png]", TOWER]}, {"docs": [FERRY, TOWER]}, "references"),
        ({"gold_answer": None, "golden_answers": ["Mara Venn"]}, {"gold_answer": "Mara Venn"},
         "schema"),
    ],
    ids=["text", "doubled and outside", "wrong", "blank", "blank before gold", "repeated", "marks",
         "dialect"],
)  # fmt: skip
def test_what_is_certain_is_mended(
    tmp_path: Path, fields: dict[str, Any], expected: dict[str, Any], check: str
) -> None:
    (row,), report = fix(tmp_path, question(**fields))
    assert {key: row[key] for key in expected} == expected
    assert ("repaired", check) in report.counts
    assert report.after.errors == []


@pytest.mark.parametrize(
    ("row", "check"),
    [
        ("{broken", "schema"),
        (question(docs=[]), "schema"),
        (question(docs=[FERRY, " "]), "documents"),
        (question(docs=[TOWER, FERRY, TOWER + " It stands."], pos_index=[1]), "pos_index"),
        (question(question="What does plan.png show?"), "references"),
        ({"data_type": "qa", "question": ["A?", "B?"], "answers": ["a"], "docs": [TEA]}, "schema"),
    ],
    ids=["not JSON", "no documents", "blank gold", "two may be gold", "file", "unpaired"],
)
def test_what_cannot_be_mended_is_left_out_with_its_reason(
    tmp_path: Path, row: Any, check: str
) -> None:
    rows, report = fix(tmp_path, row, question())
    assert rows == [question()]
    ((action, why),) = report.counts
    assert (action, why) == ("dropped", check)
    (change,) = read_records(report.changes_path)
    assert change["line"] == 1
    assert change["what"]


def test_sound_rows_are_written_as_they_were(tmp_path: Path) -> None:
    row = question(extra={"kept": True})
    rows, report = fix(tmp_path, row)
    assert rows == [row]
    assert (report.rows_in, report.rows_out, report.rows_repaired) == (1, 1, 0)
    assert report.changes_path.read_text() == ""


def test_unstated_golds_are_guessed_only_if_asked_for(tmp_path: Path) -> None:
    rows, _ = fix(tmp_path, question(pos_index=[]))
    assert rows[0]["pos_index"] == []
    rows, _ = fix(tmp_path, question(pos_index=[]), strict=True)
    assert rows[0]["pos_index"] == [1]
    rows, _ = fix(tmp_path, question(pos_index=[], origin="world"), strict=True)
    assert rows[0]["pos_index"] == []


def test_stage_two_comes_down_to_top_k_around_its_gold(tmp_path: Path) -> None:
    many = question(answer="Mara Venn.", doc_ids=["f", "t", "c"])
    few = question(question="Who?", answer="Mara Venn.", docs=[TOWER], pos_index=[0])
    rows, report = fix(tmp_path, many, few, top_k=2)
    assert len(rows) == 1
    assert rows[0]["docs"] == [FERRY, TOWER]
    assert (rows[0]["pos_index"], rows[0]["doc_ids"]) == ([1], ["f", "t"])
    assert report.counts == {("repaired", "top_k"): 1, ("dropped", "top_k"): 1}


def test_doubled_rows_go_and_doubled_ids_are_renamed(tmp_path: Path) -> None:
    rows, _ = fix(
        tmp_path,
        question(id="a"),
        question(id="b", docs=[TOWER, TEA, FERRY], pos_index=[0]),
        question(id="a", question="Who else?"),
    )
    assert [row["id"] for row in rows] == ["a", "a-2"]


def test_rows_that_leak_are_left_out(tmp_path: Path) -> None:
    train = tmp_path / "train.jsonl"
    write_jsonl(train, [question(question="Which ferry?", docs=[FERRY], pos_index=[0])])
    leak = question(question="Which FERRY", docs=[TEA], pos_index=[0], gold_answer="北山")
    rows, report = fix(tmp_path, leak, question(pos_index="1"), question(), train=train)
    assert rows == [question()]
    assert report.counts["dropped", "leaks"] == 1


def test_strict_trims_documents_and_drops_lost_answers(tmp_path: Path) -> None:
    torn = TOWER + " The ferry to Norrin leaves the northern quay every"
    lost = "It stands on a hill. It was built in 1911 by Mara Venn and her two"
    rows, report = fix(
        tmp_path,
        question(docs=[torn, TEA], pos_index=[0]),
        question(question="By whom?", docs=[lost, TEA], pos_index=[0]),
        {"data_type": "qa", "question": ["Where?", "By whom?"], "docs": [lost],
         "answers": ["on a hill", "Mara Venn"]},
        strict=True,
    )  # fmt: skip
    assert rows[0]["docs"] == [TOWER, TEA]
    assert (rows[1]["question"], rows[1]["answers"]) == (["Where?"], ["on a hill"])
    assert len(rows) == 2
    assert report.after.total("warning") == 0


def test_never_in_place(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [question()])
    with pytest.raises(ConfigError, match="overwrite its source"):
        fix_file(tmp_path / "rows.jsonl", tmp_path / "rows.jsonl")


_TEXTS = st.sampled_from([TOWER, FERRY, TEA, "", " ", "Mara Venn", "[IMAGE_REF: a.png]",
                          "a.png?", "torn by the", "x" * 30, "\ufffd torn"])  # fmt: skip
_PLACES = st.lists(st.integers(-1, 3) | st.just("1") | st.just(True), max_size=3) | st.integers(
    0, 2
)
_ROWS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", "b", "a-2", 7]),
        "question": _TEXTS | st.lists(_TEXTS, max_size=2),
        "answers": _TEXTS | st.lists(_TEXTS, max_size=2),
        "answer": _TEXTS,
        "gold_answer": _TEXTS,
        "docs": st.lists(_TEXTS, max_size=4),
        "pos_index": _PLACES,
        "data_type": st.sampled_from(["qa", "paraphrase", "instruction"]),
    },
)


def test_a_document_that_is_nothing_without_its_image_marks_is_left_out(tmp_path: Path) -> None:
    bare = question(docs=["a.png?"], pos_index=[])
    write_jsonl(tmp_path / "rows.jsonl", [bare, question(docs=[TOWER, "a.png?"], pos_index=[0])])
    report = fix_file(tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
    assert report.counts["dropped", "documents"] == 1
    assert [row["docs"] for row in read_records(tmp_path / "out.jsonl")] == [[TOWER]]
    assert report.after.errors == []


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(rows=st.lists(_ROWS, max_size=5), strict=st.booleans(), top_k=st.none() | st.integers(1, 2))
def test_a_fixed_copy_has_no_errors_and_is_final(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    strict: bool,
    top_k: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("fix")
    write_jsonl(folder / "rows.jsonl", rows)
    first = fix_file(folder / "rows.jsonl", folder / "a.jsonl", top_k=top_k, strict=strict)
    second = fix_file(folder / "a.jsonl", folder / "b.jsonl", top_k=top_k, strict=strict)
    assert first.after.errors == [] or first.rows_out == 0
    assert second.rows_out == second.rows_in == first.rows_out <= first.rows_in == len(rows)
    assert (folder / "b.jsonl").read_bytes() == (folder / "a.jsonl").read_bytes()
    assert validate_file(folder / "b.jsonl", top_k=top_k, may_be_empty=True).errors == []
