"""What systems, settings and metrics are called where people read."""

from __future__ import annotations

NAMES = {
    "chance": "chance",
    "bm25": "BM25",
    "encoder": "before stage 3",
    "closed_book": "no documents",
    "full_text": "full text",
    "stage1": "stage 1",
    "stage2": "stage 2",
    "stage3": "stage 3",
    "documents": "Your documents",
    "world": "The generated world",
    "em": "exact match",
    "f1": "F1",
    "containment": "containment",
    "recall@1": "Recall@1",
    "recall@3": "Recall@3",
    "recall@5": "Recall@5",
    "mrr": "MRR",
    "base": "base decoder",
}

SYSTEM_WORDS = {
    "chance": "a random order, expected value",
    "bm25": "words shared by question and passage",
    "encoder": "cosine of compressed question and compressed passage: what stage 3 starts from",
    "closed_book": "the bare decoder and the question alone",
    "full_text": "the bare decoder reads the passages as text",
    "stage1": "compressor pretraining",
    "stage2": "instruction tuning",
    "stage3": "chooses its passages among all candidates by itself",
}


def setting_words(setting: str, k: int) -> str:
    """What a setting gives to a system, in one sentence."""
    gold = "The gold passage stands" if k == 1 else "The gold passages stand"
    given = "it" if k == 1 else f"them, filled up to {k} by BM25"
    best = "the best one" if k == 1 else f"the best {k}"
    own = "picks one" if k == 1 else f"picks {k}"
    return {
        "gold": "Only the gold passages are given, nothing else.",
        "oracle": f"{gold} among the candidates. Full text and stages 1 and 2 are given {given}; "
        f"stage 3 {own} by itself.",
        "normal": "Candidates as BM25 found them, gold or not. Full text and stages 1 and 2 are "
        f"given {best} by BM25; stage 3 {own} by itself.",
        "decoy": "One wrong passage of the right kind is given: what guessing scores.",
    }[setting]
