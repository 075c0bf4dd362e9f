from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from tasks.evaluation.charts import Bar, bar_chart, curve_chart


def test_bar_is_as_long_as_its_value_and_says_it() -> None:
    svg = bar_chart([Bar("<mine>", 0.25, 0.1, 0.5, "stage3")], "a & b")
    root = ElementTree.fromstring(svg)
    bar = next(rect for rect in root.iter("rect") if rect.get("class") == "stage3")
    whisker = next(root.iter("line"))
    assert bar.get("width") == "25.00%"
    assert (whisker.get("x1"), whisker.get("x2")) == ("10.00%", "50.00%")
    assert [text.text for text in root.iter("text")] == ["<mine>", "0.25 [0.10, 0.50]"]


def test_value_without_spread_has_no_whisker() -> None:
    root = ElementTree.fromstring(bar_chart([Bar("x", 1.0, 1.0, 1.0, "bm25")], "t"))
    assert not list(root.iter("line"))


def test_curve_spans_the_width_and_falls_with_the_values() -> None:
    root = ElementTree.fromstring(curve_chart([(1, 4.0), (51, 2.0), (101, 1.0)], "loss"))
    line = next(root.iter("polyline")).get("points")
    assert line == "0.0,0.0 300.0,80.0 600.0,120.0"


def test_single_point_and_no_points_are_drawn_without_error() -> None:
    assert "polyline" in curve_chart([(1, 0.0)], "loss")
    assert curve_chart([], "loss") == ""
