"""The candidates of an inspection, its page and its command."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tiny_workspace import tiny_config, tiny_workspace
from typer.testing import CliRunner

from clara_model.errors import DataError
from tasks.inspection.candidates import Document, nearest_passages, read_documents
from tasks.storage import write_jsonl
from tasks.workspace import Workspace

PASSAGES = [
    {"id": "p1", "source": "a.pdf", "text": "Osterly has a port."},
    {"id": "p2", "source": "b.md", "text": "The ferry <sails> at noon."},
    {"id": "p3", "source": "b.md", "text": "Tea grows on terraces."},
    {"id": "p4", "source": "c.md", "text": "Osterly has a port."},
]


def count_words(text: str) -> int:
    return len(text.split())


def test_text_is_cut_into_passages_and_rows_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# Head\n\nOne two three four.\n\nFive six seven eight.\n")
    write_jsonl(tmp_path / "rows.jsonl", [{"docs": ["first", "second"]}, {"text": "third"},
                                          {"text": "second"}])  # fmt: skip
    (tmp_path / "picture.png").write_bytes(b"no text")
    found = read_documents([tmp_path], 8, count_words)
    assert found[-3:] == [Document(text, "rows.jsonl") for text in ("first", "second", "third")]
    assert len(found) == 5
    assert "One two three four." in found[0].text
    assert all(count_words(document.text) <= 8 for document in found)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.md", None, "no such file"),
        ("report.pdf", "%PDF", "clara extract"),
        ("rows.jsonl", '{"question": "?"}\n', r"rows.jsonl:1: a row needs `text`"),
        ("empty.txt", "\n", "no text found"),
    ],
)
def test_what_cannot_be_read_is_named(
    name: str, content: str | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=words):
        read_documents([path], 8, count_words)


def test_without_documents_the_workspaces_nearest_passages_are_taken(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(DataError, match="--documents"):
        nearest_passages(workspace, "ferry", 2)
    write_jsonl(workspace.passages, PASSAGES)
    found = nearest_passages(workspace, "when does the ferry sail", 2)
    assert found[0] == Document("The ferry <sails> at noon.", "b.md")
    assert len({document.text for document in nearest_passages(workspace, "Osterly", 9)}) == 3


class Page(HTMLParser):
    """Tags with their classes, and addresses that the page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.classes: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.classes += (found.get("class") or "").split()
        self.loaded += [v for k in ("src", "href") if (v := found.get(k))]


def test_command_writes_a_whole_page_and_says_the_same_in_json(
    shared: Path, tmp_path: Path
) -> None:
    from flows.cli import app

    workspace = tiny_workspace(tmp_path / "ws", shared, questions=2)
    write_jsonl(workspace.passages, PASSAGES)
    config = tmp_path / "config.json"
    config.write_text(tiny_config(workspace).model_dump_json())
    arguments = ["inspect", str(config), "--question", "When does the <ferry> sail?",
                 "--compare", "stage1"]  # fmt: skip
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    value = json.loads(done.stdout.splitlines()[-1])
    assert sorted(c["rank"] for c in value["candidates"]) == [1, 2, 3]
    assert sum(c["chosen"] for c in value["candidates"]) == 3  # the checkpoint's k is above
    assert value["sources"].count("b.md") == 2
    assert list(value["maps"]) == ["stage3", "stage1"]
    assert value["ranked_by"] == "query reasoner"
    text = Path(value["page"]).read_text(encoding="utf-8")
    page = Page(text)
    assert all(address.startswith("#") for address in page.loaded)  # self-contained
    assert page.classes.count("map") == 2
    assert page.classes.count("memory-mark") == 2 * 3 + 1  # and the key's
    assert page.classes.count("chosen") == 3
    assert "The ferry &lt;sails&gt; at noon." in text
    assert "<sails>" not in text


def test_command_prints_a_summary(shared: Path, tmp_path: Path) -> None:
    from flows.cli import app

    workspace = tiny_workspace(tmp_path / "ws", shared, questions=2)
    config = tmp_path / "config.json"
    config.write_text(tiny_config(workspace).model_dump_json())
    (tmp_path / "notes.md").write_text("The ferry sails at noon.\n")
    out = tmp_path / "page.html"
    done = CliRunner().invoke(
        app,
        ["inspect", str(config), "--question", "When?", "--out", str(out), "--documents",
         str(tmp_path / "notes.md"), "--model", str(workspace.models / "stage2")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert out.is_file()
    assert "ranked by the encoder" in done.output
    assert "notes.md" in done.output
