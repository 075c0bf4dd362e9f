"""What a reader of two hops is given: its golds, and every other company that might be meant."""

from __future__ import annotations

import re

from clara_model import world
from tasks.learning.scores import _best_found

DECADE = re.compile(r"(?:opened|emerged) during the (\w+)")
YEAR = re.compile(r"(?:founded by two friends|founding of .{3,30} took place) in the year 19(\d)\d")
DECADES = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies")


def test_all_companies_of_the_decade_that_is_told_are_given_with_both_golds() -> None:
    checked = 0
    for row in world.two_hop_rows(200, 4, "dev", hint_share=1.0):
        (given,) = _best_found([row], 5)
        assert len(set(given)) == 5
        assert all(row["docs"][place] in given for place in row["pos_index"])
        told = DECADE.search(row["question"])
        if told is None:
            continue
        tens = str(2 + DECADES.index(told[1]))
        fitting = [d for d in row["docs"] if (year := YEAR.search(d)) and year[1] == tens]
        assert set(fitting) <= set(given)
        checked += 1
    assert checked > 20
