from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clara_model.errors import ConfigError, DataError
from tasks.rows.validate import ValidationReport, validate_file
from tasks.storage import write_jsonl

TOWER = "The tower of Osterly was built in 1911 by Mara Venn."
FERRY = "The ferry to Norrin leaves every morning at seven."
TEA = "云台茶园位于北山，茶树种于清代，春天采茶。"


def pretrain(**fields: Any) -> dict[str, Any]:
    row = {"data_type": "qa", "question": ["Who built it?"], "answers": ["Mara Venn"]}
    return row | {"docs": [TOWER]} | fields


def question(**fields: Any) -> dict[str, Any]:
    row = {"question": "Who built the tower?", "docs": [FERRY, TOWER, TEA]}
    return row | {"gold_answer": "Mara Venn", "pos_index": [1]} | fields


def check(tmp_path: Path, *rows: dict[str, Any], **options: Any) -> ValidationReport:
    write_jsonl(tmp_path / "rows.jsonl", rows)
    return validate_file(tmp_path / "rows.jsonl", **options)


def found(report: ValidationReport) -> list[tuple[int, str, str]]:
    return [(issue.line, issue.severity, issue.check) for issue in report.issues]


def test_sound_rows_pass_without_a_word(tmp_path: Path) -> None:
    other = question(question="When?", gold_answer="1911", answer="In 1911.")
    report = check(tmp_path, pretrain(), question(), other, top_k=3)
    assert report.issues == []
    assert report.is_valid
    assert report.rows == {"stage1": 1, "stage3": 1, "stage2": 1}
    assert report.mapped == {}


def test_every_schema_fault_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [
        json.dumps(pretrain()).encode(),
        b"",
        b"{broken",
        b"[1]",
        b'{"question": "caf\xe9"}',
        json.dumps(pretrain(answers=[])).encode(),
        json.dumps(question(gold_answer=None, docs=[])).encode(),
        json.dumps(question(pos_index=[9])).encode(),
    ]
    path.write_bytes(b"\n".join(lines))
    report = validate_file(path)
    assert {issue.line for issue in report.errors} == {3, 4, 5, 6, 7, 8}
    assert report.counts() == {"schema": 7}
    assert not report.is_valid
    assert any("pos_index [9] outside" in issue.message for issue in report.issues)


def test_a_file_without_rows_fails(tmp_path: Path) -> None:
    assert found(check(tmp_path)) == [(0, "error", "schema")]


def test_missing_file_and_impossible_options_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        validate_file(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match="use one of stage1, stage2, stage3"):
        check(tmp_path, pretrain(), stage="stage4")
    with pytest.raises(ConfigError, match="top_k"):
        check(tmp_path, pretrain(), top_k=0)


@pytest.mark.parametrize(
    ("docs", "severity"),
    [
        ([FERRY, TOWER, " ... "], "error"),
        ([FERRY, TOWER, FERRY], "error"),
        ([FERRY, TOWER, "Too short."], "warning"),
    ],
    ids=["no words", "twice", "short"],
)
def test_poor_documents_are_told(tmp_path: Path, docs: list[str], severity: str) -> None:
    assert found(check(tmp_path, question(docs=docs))) == [(1, severity, "documents")]


def test_a_short_chinese_document_is_not_called_short(tmp_path: Path) -> None:
    assert check(tmp_path, pretrain(docs=["茶园位于北山。"])).issues == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"pos_index": [0]}, [(1, "error", "pos_index")]),
        ({"pos_index": []}, [(1, "warning", "pos_index")]),
        ({"pos_index": [1, 1]}, [(1, "error", "pos_index")]),
        ({"docs": [FERRY, TOWER, "Mara Venn later ran a school."]}, [(1, "warning", "pos_index")]),
        ({"gold_answer": "An unnamed mason", "pos_index": [0]}, []),
        ({"gold_answer": "yes", "pos_index": [0], "docs": [FERRY, "Oh yes it does rain."]}, []),
        ({"gold_answer": "北山", "pos_index": [2]}, []),
        ({"pos_index": ["0"]}, [(1, "error", "pos_index")]),
        ({"gold_answer": "北山"}, [(1, "error", "pos_index")]),
    ],
    ids=["wrong", "missing", "doubled", "answer in negative", "free answer", "closed", "CJK",
         "position as text",
         "CJK wrong"],
)  # fmt: skip
def test_golds_are_held_against_the_answer(
    tmp_path: Path, fields: dict[str, Any], expected: list[tuple[int, str, str]]
) -> None:
    assert found(check(tmp_path, question(**fields))) == expected


def test_world_rows_may_share_values_among_people(tmp_path: Path) -> None:
    docs = [FERRY, TOWER, "Mara Venn later ran a school."]
    assert check(tmp_path, question(docs=docs, origin="world")).issues == []


def test_top_k_is_exact_in_stage_two_and_a_minimum_in_stage_three(tmp_path: Path) -> None:
    instruct = question(question="Who?", answer="Mara Venn", docs=[FERRY, TOWER])
    rows = (instruct, question(), question(question="By whom?", docs=[FERRY, TOWER]))
    assert found(check(tmp_path, *rows, top_k=3)) == [(1, "error", "top_k"), (3, "error", "top_k")]
    assert found(check(tmp_path, *rows, top_k=2)) == []
    assert found(check(tmp_path, instruct | {"docs": [FERRY, TOWER, TEA]}, top_k=2)) == [
        (1, "error", "top_k")
    ]


def test_rows_of_different_sizes_are_pointed_out(tmp_path: Path) -> None:
    report = check(tmp_path, question(), question(question="By whom?", docs=[FERRY, TOWER]))
    assert found(report) == [(0, "warning", "top_k")]
    assert "1 rows of 2, 1 rows of 3" in report.issues[0].message


def test_doubled_rows_and_ids_fail(tmp_path: Path) -> None:
    shuffled = question(docs=[TEA, FERRY, TOWER], pos_index=[2], question="who built THE tower")
    report = check(
        tmp_path,
        question(id="a"),
        shuffled,
        question(id="a", question="Who else?"),
        pretrain(),
        pretrain(),
        pretrain(data_type="paraphrase", question=[""], answers=["Mara Venn built it."]),
    )
    assert found(report) == [
        (2, "error", "duplicates"),
        (3, "error", "duplicates"),
        (5, "error", "duplicates"),
    ]


def test_image_marks_and_questions_about_files_are_pointed_out(tmp_path: Path) -> None:
    report = check(
        tmp_path,
        pretrain(docs=[TOWER + " [IMAGE_REF: extracted_assets/x.png]"]),
        pretrain(question=["What does plan_2.png show?"]),
    )
    assert found(report) == [(1, "warning", "references"), (2, "warning", "references")]


def test_leaks_are_found_by_passage_and_by_question(tmp_path: Path) -> None:
    train = tmp_path / "clara_training_data.jsonl"
    write_jsonl(
        train,
        [
            {"stage": "stage1", **pretrain(docs=[TOWER.upper()], question=["Whose work is it?"])},
            {"stage": "stage3", **question(docs=[FERRY], pos_index=[0], question="When, Norrin?",
                                           gold_answer="at seven", passage_id="p9")},
        ],
    )  # fmt: skip
    rows = (
        question(),  # its gold passage was trained on
        question(question="When Norrin", docs=[TEA, TOWER], pos_index=[0], gold_answer="北山"),
        question(question="Tea?", docs=[TEA, FERRY], pos_index=[0], gold_answer="北山"),
        question(question="Id?", docs=[TEA], pos_index=[], gold_answer="none", passage_id="p9"),
    )
    report = check(tmp_path, *rows, train=train, top_k=1)
    leaks = [issue for issue in report.issues if issue.check == "leaks"]
    assert [issue.line for issue in leaks] == [1, 2, 4]
    assert "gold passage stands in line 1" in leaks[0].message
    assert "question stands in line 2" in leaks[1].message
    assert check(tmp_path, *rows, train=tmp_path, top_k=1).issues == report.issues


def test_missing_training_rows_are_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"clara_training_data\.jsonl: no such file"):
        check(tmp_path, question(), train=tmp_path)


def test_faults_of_the_training_rows_are_mentioned(tmp_path: Path) -> None:
    train = tmp_path / "train.jsonl"
    train.write_text("nonsense\n")
    assert found(check(tmp_path, question(), train=train)) == [(0, "warning", "leaks")]


@settings(max_examples=60, deadline=None)
@given(lines=st.lists(st.binary(max_size=40) | st.sampled_from([
    json.dumps(pretrain()).encode(), json.dumps(question()).encode(), b'{"question": {}}',
    b'{"docs": [{"text": 1}], "question": "x", "answer": []}', b"null", b'{"stage": "stage2"}',
]), max_size=5))  # fmt: skip
def test_any_bytes_end_in_a_report(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_bytes(b"\n".join(lines))
    report = validate_file(path, top_k=2, train=path)
    assert report.rows or not report.is_valid


@pytest.mark.parametrize(
    "name",
    [
        "ml_clara_pretrain_1000",
        "fork_pretrain_data",
        "fork_instruction_data",
        "fork_end_to_end_data",
    ],
)
def test_given_files_are_valid(shared: Path, name: str) -> None:
    report = validate_file(shared / "rows" / f"{name}.jsonl")
    assert report.errors == []
    assert sum(report.rows.values()) == (1000 if name.startswith("ml") else 10)
