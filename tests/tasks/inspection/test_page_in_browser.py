"""The page of an inspection as a browser shows it, of findings that no model had to make."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import look_at

from clara_model.inspection import Candidate, Inspection, LensToken, RepresentationMap
from tasks.inspection.candidates import Document
from tasks.inspection.page import visible, write_page

COUNT = 20


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inspected") / "page.html"
    slot = tuple(LensToken(text, 0.25) for text in (" Lighthouse", "\n", "灯塔", "<b>", "a" * 60))
    points = tuple((float(i % 5), float(i // 5)) for i in range(COUNT))
    seen = RepresentationMap(points, tuple((x + 2.0, y) for x, y in points), (0.6, 0.2), 0.01,
                             1.5, 0.1)  # fmt: skip
    documents = [Document(f"Harbour {i}\nA passage about it. {'x' * 80}", "harbour.pdf")
                 for i in range(COUNT)]  # fmt: skip
    candidates = tuple(
        Candidate(d.text, 0.9 - i / 50, i + 1, i < 2, (slot,) * 8, "Anew." if i < 3 else None)
        for i, d in enumerate(documents)
    )
    found = Inspection("Who keeps the light?", "Ada", "query reasoner", (slot,) * 8, candidates,
                       seen)  # fmt: skip
    facts = {"model": "stage3", "stage": "stage3", "base": "Mistral-7B", "memory_tokens": 8,
             "rate": 8, "k": 2}  # fmt: skip
    write_page(path, found, documents, {"with MSE": seen, "without": seen}, facts)
    return path


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1280, False)])
def test_page_fits_its_window_in_both_schemes(
    page: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    def brightness(colour: str) -> int:
        return sum(int(part) for part in colour[4:-1].split(","))

    looked = look_at(page, tmp_path, width=width, dark=dark)
    assert looked["errors"] == []
    assert looked["console"] == []
    assert looked["scrollWidth"] <= looked["width"] == width, looked["wide"]
    assert looked["wide"] == []
    assert looked["charts"] == 2  # the two maps
    assert (brightness(looked["paper"]) < brightness(looked["ink"])) == dark


def test_most_candidates_fold_away_and_tokens_show_their_spaces(page: Path) -> None:
    text = page.read_text()
    assert "14 more candidates" in text
    assert text.count("<details") == text.count("</details>") == COUNT + 1
    assert '<span class="space">␣</span>Lighthouse' in text
    assert visible("<b>\n") == '&lt;b&gt;<span class="space">⏎</span>'
