from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from tasks.evaluation.charts import Bar, Line, bar_chart, curve_chart, line_chart


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


def test_line_is_drawn_to_the_axis_that_is_given_and_gaps_are_left_out() -> None:
    half = {"value": 0.1, "low": 0.05, "high": 0.2}
    svg = line_chart([Line("x", [half, None, half], "c0")], ["1", "2", "3"], "t", top=0.2)
    root = ElementTree.fromstring(svg)
    circles = list(root.iter("circle"))
    # The axis is 300 units high and begins 14 below the top: half of it is at 164.
    assert [circle.get("cy") for circle in circles] == ["164.0", "164.0"]
    stroke = next(line for line in root.iter("line") if line.get("class") != "grid")
    assert (stroke.get("y1"), stroke.get("y2")) == ("239.0", "14.0")
    assert [text.text for text in root.iter("text")] == [
        "0", "0.05", "0.1", "0.15", "0.2", "1", "2", "3",
    ]  # fmt: skip


def test_lines_without_spread_have_points_alone() -> None:
    half = {"value": 0.5, "low": 0.25, "high": 0.75}
    svg = line_chart([Line("x", [half], "c0")], ["1"], "t", spread=False)
    lines = list(ElementTree.fromstring(svg).iter("line"))
    assert {line.get("class") for line in lines} == {"grid"}
