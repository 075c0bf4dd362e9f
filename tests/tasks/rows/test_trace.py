from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from small_rows import PLAN, REQUEST, write_unanswerable, write_workspace

from clara_model.errors import DataError
from flows.trace_view import print_trace
from tasks.rows.trace import trace_row
from tasks.storage import Record, read_records, write_jsonl
from tasks.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return write_workspace(tmp_path)


def test_a_row_leads_to_place_model_request_and_reply(workspace: Workspace) -> None:
    trace = trace_row(workspace, "bbbb000011112222")
    assert (trace["file"], trace["line"]) == ("instruction_data.jsonl", 1)
    (passage,) = trace["passages"]
    assert (passage["source"], passage["page"], passage["heading"]) == ("tower.pdf", 2, "Tower")
    assert passage["box"] == [72, 90, 300, 120]
    assert passage["document"]["file_path"] == "tower.pdf"
    assert passage["shown_as_document"] == [1]
    assert passage["images"] == []
    assert trace["made_by"]["model"] == "gpt-x"
    assert trace["made_by"]["prompt_version"] == 3
    (request,) = trace["requests"]
    assert (request["id"], request["purpose"]) == (REQUEST, "simple_qa")
    assert request["reply"]["text"] == "the raw reply"
    assert request["request"]["messages"][0]["content"] == "the prompt"
    assert trace["notes"] == []
    json.dumps(trace)


def test_requests_come_from_synthesis_where_a_row_names_none(workspace: Workspace) -> None:
    (request,) = trace_row(workspace, "aaaa000011112222")["requests"]
    assert request["id"] == REQUEST


def test_both_passages_of_a_joint_row_and_the_picture_of_one(workspace: Workspace) -> None:
    tower, plan = trace_row(workspace, "cccc000011112222")["passages"]
    assert (tower["id"], plan["id"]) == ("p-tower", "p-plan")
    (image,) = plan["images"]
    assert (image["image"], image["caption"]) == ("extracted_assets/plan.png", PLAN)
    assert image["model"] == "vision-x"


def test_a_picture_tells_where_it_stands(workspace: Workspace) -> None:
    """The plan of the tower stands twice in its file, the logo once."""
    documents = read_records(workspace.raw_knowledge)
    documents[0]["images"] = [
        {"name": "plan.png", "page": 3, "heading": "Tower > Plan", "box": [72.0, 90.0, 300.5, 120]},
        {"name": "logo.png", "page": 1, "heading": "", "box": None},
        {"name": "plan.png", "page": 7, "heading": "", "box": None},
    ]
    write_jsonl(workspace.raw_knowledge, documents)
    trace = trace_row(workspace, "cccc000011112222")
    (image,) = trace["passages"][1]["images"]
    assert image["places"] == [
        {"page": 3, "heading": "Tower > Plan", "box": [72.0, 90.0, 300.5, 120]},
        {"page": 7, "heading": "", "box": None},
    ]
    page = shown(trace)
    assert "page 3, Tower > Plan, box left 72, top 90, right 300.5, bottom 120 pt" in page
    assert "stands: page 7\n" in page


@pytest.mark.parametrize(
    ("source", "words"),
    [("deck.pptx", ("slide 2", "box on the slide", "pt")),
     ("plan.TIFF", ("frame 2", "box on the frame", "px")),
     ("photo.webp", ("box on the picture", "px"))],
)  # fmt: skip
def test_places_are_named_as_their_format_names_them(
    workspace: Workspace, source: str, words: tuple[str, ...]
) -> None:
    trace = trace_row(workspace, "bbbb000011112222")
    trace["passages"][0]["source"] = source
    page = shown(trace)
    assert all(word in page for word in words)


def shown(trace: Record) -> str:
    """As printed, without the lines of the tree."""
    console = Console(width=200, file=io.StringIO())
    print_trace(console, trace)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.lstrip("│├└─ ").rstrip() for line in text.splitlines()) + "\n"


def test_benchmark_rows_are_traced_to_all_their_files(workspace: Workspace) -> None:
    trace = trace_row(workspace, "dddd000011112222")
    assert trace["file"] == "benchmark/oracle.jsonl"
    assert trace["also_in"] == ["benchmark/normal.jsonl:1"]
    assert trace["passages"][0]["source"] == "tea.md"
    assert trace["notes"] == ["p-tea is not in synthesis.jsonl"]


def test_a_held_out_question_without_answer_is_traced_too(workspace: Workspace) -> None:
    write_unanswerable(workspace)
    trace = trace_row(workspace, "eeee")
    assert (trace["file"], trace["line"]) == ("benchmark/unanswerable.jsonl", 1)
    assert trace["passages"][0]["source"] == "tea.md"


def test_the_beginning_of_an_id_is_enough_if_it_is_one_rows(workspace: Workspace) -> None:
    assert trace_row(workspace, "bbbb")["row"]["id"] == "bbbb000011112222"
    with pytest.raises(DataError, match="begins the ids of 2 rows"):
        trace_row(workspace, "aaaa")


def test_an_unknown_id_is_told_with_the_nearest_ones(workspace: Workspace) -> None:
    with pytest.raises(DataError, match="the nearest are bbbb000011112222"):
        trace_row(workspace, "bbbb00001111222x")
    with pytest.raises(DataError, match="empty id"):
        trace_row(workspace, " ")


def test_what_is_gone_is_noted_and_ends_nothing(workspace: Workspace) -> None:
    workspace.synthesis.unlink()
    workspace.raw_knowledge.unlink()
    next(workspace.cache.rglob("*.json")).unlink()
    notes = " ".join(trace_row(workspace, "bbbb")["notes"])
    assert "synthesis.jsonl is not in the workspace" in notes
    assert f"request {REQUEST} is not in the cache" in notes
    assert trace_row(workspace, "bbbb")["passages"][0]["id"] == "p-tower"
