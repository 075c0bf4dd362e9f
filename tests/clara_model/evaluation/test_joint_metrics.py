"""Joint metrics against products worked out by hand from the definition of the official scripts."""

from __future__ import annotations

import pytest

from clara_model.evaluation.metrics import score

# Of "Loch Ness" against "the Loch Ness in Scotland": 2 of 2 words right, 2 of 4 found (no article).
# Of the facts one of two is right, and one of two found.
SAID = {"answer": "Loch Ness", "sp": [["A", 0], ["B", 1]]}
GOLD = {"answer": "the Loch Ness in Scotland", "sp": [["A", 0], ["B", 2]]}
# One triple, right, of two wanted.
EVIDENCE = {"evi": [["a", "is", "b"]]}
EVIDENCES = {"evi": [[["a", "is", "b"]], [["c", "is", "d"], ["c", "is", "e"]]]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hotpot.joint_em", 0.0),
        ("hotpot.joint_prec", 1.0 * 0.5),
        ("hotpot.joint_recall", 0.5 * 0.5),
        # Of 0.5 and 0.25; the product of the two F1s would be 2/3 x 1/2.
        ("hotpot.joint_f1", 2 * 0.5 * 0.25 / 0.75),
        ("2wiki.joint_em", 0.0),
        ("2wiki.joint_prec", 1.0 * 0.5 * 1.0),
        ("2wiki.joint_recall", 0.5 * 0.5 * 0.5),
        ("2wiki.joint_f1", 2 * 0.5 * 0.125 / 0.625),
    ],
)
def test_joint_value_is_the_product_of_its_parts(name: str, value: float) -> None:
    assert score(name, SAID | EVIDENCE, GOLD | EVIDENCES) == pytest.approx(value)


@pytest.mark.parametrize("family", ["hotpot", "2wiki"])
@pytest.mark.parametrize("field", ["em", "f1", "prec", "recall"])
def test_all_right_is_one_and_a_missing_part_nothing(family: str, field: str) -> None:
    right = {"answer": "loch ness in scotland", "sp": [["B", 2], ["A", 0]],
             "evi": [["a", "is", "b"], ["c", "is", "e"]]}  # fmt: skip
    assert score(f"{family}.joint_{field}", right, GOLD | EVIDENCES) == 1.0
    for part in ("answer", "sp"):
        without = {name: value for name, value in right.items() if name != part}
        assert score(f"{family}.joint_{field}", without, GOLD | EVIDENCES) == 0.0


def test_any_alias_of_the_answer_counts_in_2wiki() -> None:
    gold = {"answer": ["Nessie", "Loch Ness"], "sp": [], "evi": []}
    said = {"answer": "Loch Ness", "sp": [], "evi": []}
    assert score("2wiki.joint_em", said, gold) == 1.0
    # No fact was wanted or named: precision is 0 by the script, and with it the product.
    assert score("2wiki.joint_f1", said, gold) == 0.0
