"""A row's trace as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

# What a page of a file is called; boxes of pictures are in pixels.
_PAGES = {".pptx": "slide", ".tif": "frame", ".tiff": "frame"}
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_LONG = 1200  # characters of a request or reply that are shown; --json has all


def print_trace(console: Console, trace: dict[str, Any]) -> None:
    """Print a trace as a tree: the row, its passages, its requests."""
    row = trace["row"]
    place = escape(f"{trace['file']}:{trace['line']}")
    tree = Tree(f"[bold]{escape(str(row.get('id')))}[/]  {place}")
    for other in trace["also_in"]:
        tree.add(f"also in {escape(other)}")
    for key in ("question", "gold_answer", "answer", "answers"):
        if row.get(key) not in (None, "", [""]):
            tree.add(f"{key}: {escape(_joined(row[key]))}")
    made = ", ".join(f"{key} {_joined(value)}" for key, value in trace["made_by"].items())
    tree.add(f"made by: {escape(made or 'not noted')}")
    for passage in trace["passages"]:
        _add_passage(tree, passage)
    for request in trace["requests"]:
        _add_request(tree, request)
    for note in trace["notes"]:
        tree.add(f"[yellow]{escape(note)}[/]")
    console.print(tree, highlight=False)


def _add_passage(tree: Tree, passage: dict[str, Any]) -> None:
    source = passage["source"]
    place = ", ".join([source, *_place(passage, source)])
    branch = tree.add(f"passage [bold]{escape(passage['id'])}[/]  {escape(place)}")
    if passage.get("box"):
        branch.add(f"box on the {_page(source)}: {_box(passage['box'], source)}")
    if passage["shown_as_document"]:
        numbers = ", ".join(str(place) for place in passage["shown_as_document"])
        branch.add(f"shown as document {numbers}")
    if passage["document"].get("file_path"):
        branch.add(f"file: {escape(passage['document']['file_path'])}")
    for image in passage["images"]:
        model = f" ({image['model']})" if image.get("model") else ""
        shown = branch.add(f"image: {escape(str(image.get('image')))}{escape(model)}")
        for where in image.get("places", ()):
            words = _place(where, source)
            if where.get("box"):
                words.append(f"box {_box(where['box'], source)}")
            shown.add(f"stands: {escape(', '.join(words))}" if words else "place not known")
        branch.add(f"caption: {escape(str(image.get('caption')))}")
    branch.add(f"[dim]{escape(passage['text'])}[/]")


def _place(known: dict[str, Any], source: str) -> list[str]:
    """Page and headings, as far as they are known."""
    page = [f"{_page(source)} {known['page']}"] if known.get("page") else []
    return page + ([str(known["heading"])] if known.get("heading") else [])


def _page(source: str) -> str:
    suffix = PurePath(source).suffix.lower()
    return "picture" if suffix in _PICTURES else _PAGES.get(suffix, "page")


def _box(box: Sequence[float], source: str) -> str:
    left, top, right, bottom = (f"{value:g}" for value in box)
    unit = "px" if PurePath(source).suffix.lower() in (*_PICTURES, ".tif", ".tiff") else "pt"
    return f"left {left}, top {top}, right {right}, bottom {bottom} {unit}"


def _add_request(tree: Tree, request: dict[str, Any]) -> None:
    what = ", ".join(str(request[key]) for key in ("purpose", "model") if request.get(key))
    branch = tree.add(f"request [bold]{escape(request['id'])}[/]  {escape(what)}")
    if request.get("cached_in"):
        branch.add(f"in the cache: {escape(request['cached_in'])}")
    for message in (request.get("request") or {}).get("messages", ()):
        branch.add(f"[dim]{escape(_short(str(message.get('role')) + ': ' + _said(message)))}[/]")
    reply = request.get("reply") or {}
    if reply:
        tokens = f"{reply.get('prompt_tokens', 0)} + {reply.get('completion_tokens', 0)} tokens"
        branch.add(f"reply ({tokens}): {escape(_short(str(reply.get('text'))))}")


def _said(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = (part.get("text") or f"({part.get('type')})" for part in content)
        return "\n".join(str(part) for part in parts)
    return str(content)


def _joined(value: Any) -> str:
    return " | ".join(map(str, value)) if isinstance(value, list) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]} ... ({len(text)} characters)"
