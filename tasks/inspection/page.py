"""The page of an inspection: one HTML file with everything in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tasks.inspection.candidates import Document
from tasks.inspection.figures import scatter
from tasks.storage import write_text

if TYPE_CHECKING:
    from clara_model.inspection import Inspection, RepresentationMap

_TEMPLATE = "inspection.html.j2"
_NAME_CHARS = 70
_SHOWN = 6  # candidates before the others fold away
_SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "⏎"}


def write_page(
    path: Path,
    found: Inspection,
    documents: Sequence[Document],
    maps: Mapping[str, RepresentationMap],
    facts: Mapping[str, Any],
) -> None:
    """Write the page.

    Args:
        path: The file.
        found: What was found.
        documents: The candidates, in the order of `found.candidates`.
        maps: By the model's name; the first is the inspected one's.
        facts: `model`, `base`, `memory_tokens`, `rate`, `k` and `stage` of the inspected model.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    names = [shorten(document.text) for document in documents]
    pairs = zip(found.candidates, documents, strict=True)
    ranked = sorted(pairs, key=lambda pair: pair[0].rank)
    figures = [
        {"name": name, "map": own, "figure": scatter(own, names, f"map of {name}")}
        for name, own in maps.items()
    ]
    page = environment.get_template(_TEMPLATE).render(
        found=found, ranked=ranked, figures=figures, facts=facts,
        shown=max(_SHOWN, sum(candidate.chosen for candidate in found.candidates)),
    )  # fmt: skip
    write_text(path, page)


def visible(token: str) -> Markup:
    """A token with signs for its spaces and line ends, which would not be seen."""
    signs = (f'<span class="space">{_SIGNS[c]}</span>' if c in _SIGNS else escape(c) for c in token)
    return Markup("".join(signs))


def shorten(text: str) -> str:
    """The beginning of a text on one line."""
    words = " ".join(text.split())
    return words if len(words) <= _NAME_CHARS else words[:_NAME_CHARS].rstrip() + "…"
