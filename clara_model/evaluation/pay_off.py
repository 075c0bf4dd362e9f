"""When compressing once has paid off; apart from the measuring, so that reports need no torch."""

from __future__ import annotations


def pays_off_after(
    compress_s: float, passages: int, text_s: float, memory_s: float
) -> float | None:
    """Questions after which compressing once has taken no more time than it saved.

    Q = passages * compress_s / (text_s - memory_s), with seconds a passage to compress and seconds
    a question to answer from text and from memories. None where a question is not answered faster
    from memories: then it never pays off in time.
    """
    saved = text_s - memory_s
    return passages * compress_s / saved if saved > 0 else None
