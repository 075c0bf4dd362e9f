"""Progress can be watched from outside of what makes it."""

from __future__ import annotations

from tasks.progress import progress, tell_progress, watch_progress


def test_an_observer_sees_the_running_count_and_the_note() -> None:
    seen: list[tuple[str, int, int]] = []
    with watch_progress(lambda *state: seen.append(state)), progress("captions", 5) as advance:
        advance()
        advance(3, "2 cached")
        tell_progress("whole", 1, 9)
    assert seen == [("captions", 1, 5), ("captions, 2 cached", 4, 5), ("whole", 1, 9)]


def test_the_inner_observer_hears_and_afterwards_nobody() -> None:
    outer: list[str] = []
    inner: list[str] = []
    with watch_progress(lambda text, *_: outer.append(text)):
        with watch_progress(lambda text, *_: inner.append(text)):
            tell_progress("first", 0, 1)
        tell_progress("second", 0, 1)
    tell_progress("third", 0, 1)
    assert (outer, inner) == (["second"], ["first"])
