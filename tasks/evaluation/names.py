"""What systems, settings and metrics are called where people read."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

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
    "unanswerable": "Questions that nothing answers",
    "refused": "refused",
    "false_refusal": "false refusals",
    "em": "exact match",
    "f1": "F1",
    "containment": "containment",
    "recall@1": "Recall@1",
    "recall@3": "Recall@3",
    "recall@5": "Recall@5",
    "recall@10": "Recall@10",
    "mrr": "MRR",
    "ndcg@10": "nDCG@10",
    "all_found": "all golds in the first k",
    "clara.acc": "ACC, first gold",
    "clara.em": "EM, first gold",
    "clara.f1": "F1, first gold",
    "clara.acc_any": "ACC, any gold",
    "clara.em_any": "EM, any gold",
    "clara.f1_any": "F1, any gold",
    "judge.correct": "judge: correct",
    "judge.faithful": "judge: faithful",
    "base": "base decoder",
    "another": "another passage",
    "reconstruction.rouge1": "ROUGE-1",
    "reconstruction.rougeL": "ROUGE-L",
    "reconstruction.numbers": "numbers kept",
    "reconstruction.names": "names kept",
    "reconstruction.entities": "both kept",
    "reconstruction.bert_score": "BERTScore",
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


METRIC_GROUPS = {
    "official": "by the benchmark's own script",
    "paper": "as the CLaRa paper's evaluation counts: the first gold alone",
    "fair": "the same, any accepted gold",
    "ours": "for any benchmark and language",
}


def names_of(summary: dict[str, Any]) -> dict[str, str]:
    """Names for everything in a summary: systems and benchmarks of its own as well."""
    systems = {system["id"]: system["name"] for system in summary.get("systems", ())}
    titles = {b["name"]: b["title"] for b in summary["benchmarks"] if b.get("title")}
    measured = {
        metric: metric
        for row in (*summary["scores"], *summary["retrieval"])
        for metric in row["metrics"]
    }
    return measured | systems | NAMES | titles


def setting_words(setting: str, ks: Collection[int]) -> str:
    """What a setting gives to systems that are set to read so many documents, in one sentence."""
    k = "k" if len(set(ks)) > 1 else str(next(iter(ks)))
    gold = "The gold passage stands" if k == "1" else "The gold passages stand"
    given = "all gold ones" if k == "1" else f"all gold ones, filled up to {k} by BM25"
    best = "the best one" if k == "1" else f"the best {k}"
    own = "one" if k == "1" else k
    return {
        "gold": "Only the gold passages are given, nothing else.",
        "oracle": f"{gold} among the candidates. Systems that do not choose (full text, stages 1 "
        f"and 2) are given {given}; those that do (stage 3) pick {own} by themselves.",
        "normal": "Candidates as they were retrieved, gold or not. Systems that do not choose "
        f"(full text, stages 1 and 2) are given {best} of them; those that do (stage 3) pick "
        f"{own} by themselves.",
        "unanswerable": "No passage holds an answer, and the right one is to say so. Candidates "
        "are the passage that was asked about and those nearest to it; systems that do not choose "
        f"are given {best} of them by BM25, those that do (stage 3) pick {own} by themselves.",
        "reconstruction": "Held-out passages written anew, each from its memory alone, and scored "
        "against the original.",
        "decoy": "One wrong passage of the right kind is given: what guessing scores.",
    }[setting]
