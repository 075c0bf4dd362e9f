"""The exported folder gives the vectors' memories and texts without this project."""

from pathlib import Path

import torch
from without_project import call_exported


def test_exported_stage3(case, tmp_path: Path) -> None:
    facts = dict(case.facts["generate_from_questions"])
    answers, index = facts.pop("answers"), facts.pop("topk_idx")
    case.stage3.save_pretrained(tmp_path / "model", "auto-model")
    texts, tensors = call_exported(
        tmp_path / "model",
        {
            "generate_from_questions": facts,
            "represent_queries": {
                "questions": [e["question"] for e in case.facts["stage3"]["examples"]]
            },
        },
        tmp_path / "scratch",
        dtype=case.facts["dtype"],
    )
    assert texts["generate_from_questions"] == answers
    assert tensors["generate_from_questions"].tolist() == index
    case.assert_close(tensors["represent_queries"], "stage3.query_representation")


def test_exported_before_stage3(case, tmp_path: Path) -> None:
    facts = dict(case.facts["generate_from_text"])
    answers = facts.pop("answers")
    memory = {key: value for key, value in facts.items() if key != "documents"}
    case.before_stage3.save_pretrained(tmp_path / "model", "auto-model")
    texts, tensors = call_exported(
        tmp_path / "model",
        {
            "compress_documents": case.facts["compress"],
            "generate_from_text": facts,
            "generate_from_memory": memory | {"compress": facts["documents"]},
        },
        tmp_path / "scratch",
        dtype=case.facts["dtype"],
    )
    assert texts == {"generate_from_text": answers, "generate_from_memory": answers}
    case.assert_close(tensors["compress_documents"], "compress.memory")
    assert tensors["compress_documents"].dtype == getattr(torch, case.facts["dtype"])
