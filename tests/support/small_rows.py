"""A workspace of a few rows written by hand, as the data steps would leave it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.storage import write_json, write_jsonl
from tasks.workspace import Workspace

TOWER = "The tower of Osterly was built by Mara Venn in the year 1911."
PLAN = "Picture: plan of the tower. The plan shows four floors and a stair."
FERRY = "The ferry to Norrin leaves the northern quay every morning at seven."
TEA = "云台茶园位于北山脚下，茶树种于清代，春天采茶。"
REQUEST = "ab12ab12ab12ab12"
PASSAGES = {
    "p-tower": ("tower.pdf", "train", "en", TOWER),
    "p-plan": ("tower.pdf", "train", "en", PLAN),
    "p-ferry": ("ferry.md", "train", "en", FERRY),
    "p-tea": ("tea.md", "benchmark", "zh", TEA),
}
_MADE_BY = {"provider": "openai", "model": "gpt-x", "prompt_version": 3}


def write_workspace(root: Path) -> Workspace:
    """Three sources, one of them held out; questions of two kinds, one about two passages."""
    ws = Workspace(root)
    write_jsonl(ws.raw_knowledge, [
        {"file_path": "tower.pdf", "filename": "tower.pdf", "source_type": "document",
         "content": f"# Tower\n\n{TOWER}\n\n[IMAGE_REF: extracted_assets/plan.png]",
         "extracted_images": ["extracted_assets/plan.png"]},
        {"file_path": "ferry.md", "filename": "ferry.md", "content": FERRY, "extracted_images": []},
        {"file_path": "tea.md", "filename": "tea.md", "content": TEA, "extracted_images": []},
    ])  # fmt: skip
    write_jsonl(ws.captions, [
        {"image": "extracted_assets/plan.png", "status": "captioned", "caption": PLAN,
         "model": "vision-x"},
        {"image": "extracted_assets/logo.png", "status": "skipped", "caption": ""},
    ])  # fmt: skip
    write_jsonl(ws.passages, [
        {"id": name, "source": source, "page": 2, "heading": "Tower", "box": [72, 90, 300, 120],
         "text": text, "language": language, "tokens": 14, "split": split}
        for name, (source, split, language, text) in PASSAGES.items()
    ])  # fmt: skip
    asked = {"question": "Who built the tower?", "answer": "Mara Venn", "requests": [REQUEST]}
    write_jsonl(ws.synthesis, [
        {"passage_id": "p-tower", "source": "tower.pdf", "simple": [asked], "paraphrase": "P.",
         "coverage": {"facts": 4, "covered": 3}, "tokens": {"prompt": 100, "completion": 20},
         **_MADE_BY},
        {"passage_id": "p-ferry", "source": "ferry.md", "simple": [], "paraphrase": None,
         "coverage": {"facts": 2, "covered": 0}, "tokens": {"prompt": 50, "completion": 5},
         **_MADE_BY},
    ])  # fmt: skip
    write_json(ws.cache / REQUEST[:2] / f"{REQUEST}{'0' * 48}.json", {
        "model": "gpt-x", "purpose": "simple_qa",
        "reply": {"text": "the raw reply", "prompt_tokens": 9, "completion_tokens": 4},
        "request": {"messages": [{"role": "user", "content": "the prompt"}]},
    })  # fmt: skip
    write_json(ws.manifests / "mine.json", {"settings": {"top_k": 2}, "counts": {"world_rows": 0}})
    write_json(ws.manifests / "passages.json", {"settings": {"length": 64}, "counts": {}})
    write_rows(ws)
    return ws


def write_rows(ws: Workspace) -> None:
    """The row files of the three stages, the one of all stages, and the benchmark."""
    tower = {"source": "tower.pdf", "passage_id": "p-tower", "language": "en", **_MADE_BY}
    staged: dict[str, list[dict[str, Any]]] = {
        "stage1": [
            {"id": "aaaa000011112222", "data_type": "qa", "question": ["Who built the tower?"],
             "answers": ["Mara Venn"], "docs": [TOWER], **tower, "kind": "simple_qa",
             "kinds": ["simple_qa"]},
            {"id": "aaaa999911112222", "data_type": "paraphrase", "question": [""],
             "answers": ["Mara Venn built the tower of Osterly."], "docs": [TOWER], **tower,
             "kind": "paraphrase"},
        ],
        "stage2": [
            {"id": "bbbb000011112222", "question": "Who built the tower?", "docs": [FERRY, TOWER],
             "gold_answer": "Mara Venn", "answer": "It was Mara Venn.", "pos_index": [1], **tower,
             "kind": "simple_qa", "requests": [REQUEST], "doc_ids": ["p-ferry", "p-tower"]},
        ],
        "stage3": [
            {"id": "cccc000011112222", "question": "Who built the tower, and what shows its plan?",
             "docs": [PLAN, TOWER, FERRY], "gold_answer": "Mara Venn; four floors",
             "pos_index": [0, 1], **tower, "passage_ids": ["p-tower", "p-plan"], "kind": "joint_qa",
             "doc_ids": ["p-plan", "p-tower", "p-ferry"]},
        ],
    }  # fmt: skip
    paths = (ws.pretrain_data, ws.instruction_data, ws.end_to_end_data)
    for path, rows in zip(paths, staged.values(), strict=True):
        write_jsonl(path, rows)
    write_jsonl(
        ws.all_training_data,
        ({"stage": stage, **row} for stage, rows in staged.items() for row in rows),
    )
    held_out = {
        "id": "dddd000011112222", "question": "茶树种于何时？", "docs": [FERRY, TEA],
        "gold_answer": "清代", "pos_index": [1], "source": "tea.md", "passage_id": "p-tea",
        "language": "zh", "kind": "simple_qa", **_MADE_BY,
    }  # fmt: skip
    write_jsonl(ws.benchmark / "oracle.jsonl", [held_out])
    write_jsonl(ws.benchmark / "normal.jsonl", [{**held_out, "docs": [TEA], "pos_index": [0]}])


def write_unanswerable(ws: Workspace) -> dict[str, Any]:
    """A held-out question that nothing answers, in the benchmark's file of such; its row."""
    row: dict[str, Any] = {
        "id": "eeee000011112222", "question": "Who owns the tea garden?", "docs": [FERRY, TEA],
        "gold_answer": "The documents do not say.", "pos_index": [], "source": "tea.md",
        "passage_id": "p-tea", "passage_ids": ["p-tea"], "language": "en",
        "kind": "unanswerable", **_MADE_BY,
    }  # fmt: skip
    write_jsonl(ws.benchmark / "unanswerable.jsonl", [row])
    return row
