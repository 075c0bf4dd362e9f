"""Sentences about what the numbers do not show: rules over the summary, no judgement by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tasks.evaluation.names import names_of

Summary = dict[str, Any]

FEW_QUESTIONS = 30
_PAIRS_NAMED = 4
_EMBEDDED = ("embedded", "rule")  # how rows name the endpoint that stands in for an LLM


def write_notes(summary: Summary) -> list[dict[str, str]]:
    """What a reader must know before concluding anything, each with the benchmark it is about."""
    notes = [
        *_about_benchmarks(summary),
        *_about_cut_documents(summary),
        *_about_scores(summary),
        *_about_the_judge(summary),
        *_about_comparisons(summary),
        *_about_retrieval(summary),
        *_about_the_model(summary),
    ]
    return [note._asdict() for note in dict.fromkeys(notes)]


class Note(NamedTuple):
    """A sentence and the benchmark it is about ("all" for every one)."""

    about: str
    text: str


def _about_benchmarks(summary: Summary) -> Iterator[Note]:
    if not summary["benchmarks"]:
        yield Note(
            "all",
            "There were no held-out questions, so nothing could be measured: hold out more "
            "documents (synthesis.benchmark_share) or give more of them.",
        )
    for benchmark in summary["benchmarks"]:
        name, n = benchmark["name"], benchmark["questions"]
        if any(mark in maker.lower() for maker in benchmark["providers"] for mark in _EMBEDDED):
            yield Note(
                name,
                "Questions and answers were made by the embedded rule-based endpoint, which copies "
                "phrases out of the passages. They are easier and more regular than what people "
                "ask; with a real LLM behind synthesis.base_url the scores will be others.",
            )
        if name == "world":
            yield Note(
                name,
                "Its documents and questions are sentences from templates about invented people "
                "and companies whose names training never saw. It shows that the method learns, "
                "not how well it does on real text.",
            )
        if benchmark.get("is_public"):
            yield Note(
                name,
                "The pool is this file's own passages unless a corpus was given, so the normal "
                "setting is easier than retrieval from all of Wikipedia, as the paper has it; and "
                "a sample of the questions is not the whole set.",
            )
        if n < FEW_QUESTIONS:
            yield Note(
                name,
                f"Only {n} questions: each is worth {100 / n:.0f} points of a hundred, and the "
                "intervals are wide. Too few to rank systems by.",
            )
        if benchmark["setting"] == "normal" and benchmark["gold_present"] < n:
            yield Note(
                name,
                f"In the normal setting the gold passage is among the candidates of "
                f"{benchmark['gold_present']} of {n} questions; the others cannot be answered "
                "from what the systems were given.",
            )


def _about_cut_documents(summary: Summary) -> Iterator[Note]:
    """One sentence a benchmark and limit; the report's table has every system."""
    alike: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in summary.get("cut", ()):
        alike.setdefault((row["benchmark"], row["limit"]), []).append(row)
    for (benchmark, limit), rows in alike.items():
        n = max(row["questions"] for row in rows)
        words = ""
        if lost := max(row["lost"] for row in rows):
            words = f"; for up to {lost} of them an accepted answer stands only in what was cut"
        yield Note(
            benchmark,
            f"Documents longer than {limit} tokens are cut before they are compressed: so was at "
            f"least one of those read for {_range([row['cut'] for row in rows])} of {n} "
            f"questions, by system and setting{words}. Full text was not cut.",
        )


def _range(counts: list[int]) -> str:
    fewest, most = min(counts), max(counts)
    return str(most) if fewest == most else f"{fewest} to {most}"


def _about_scores(summary: Summary) -> Iterator[Note]:
    names = names_of(summary)
    for row in summary["scores"]:
        if row["setting"] == "decoy":
            yield Note(
                row["benchmark"],
                f"Given one wrong document of the right kind, {names[row['system']]} still scores "
                f"{row['metrics']['em']['value']:.2f} in exact match by guessing. Read every score "
                "beside that.",
            )
    for (benchmark, value, n), systems in _without_spread(summary).items():
        bound = min(1.0, 3.0 / n)
        truth = f"as low as {1 - bound:.2f}" if value else f"as high as {bound:.2f}"
        yield Note(
            benchmark,
            f"{'Right' if value else 'Wrong'} on all {n} questions: {', '.join(systems)}. A "
            "bootstrap gives such a score no width; by the rule of three the true rate may be "
            f"{truth}.",
        )


def _without_spread(summary: Summary) -> dict[tuple[str, float, int], list[str]]:
    """Systems that are right, or wrong, on every question, by (benchmark, value, n)."""
    names = names_of(summary)
    found: dict[tuple[str, float, int], list[str]] = {}
    for row in summary["scores"]:
        metrics = row["metrics"]
        value = metrics.get("em", metrics.get("refused", {})).get("value")
        if value in (0.0, 1.0):
            place = (row["benchmark"], value, row["n"])
            found.setdefault(place, []).append(_system(row, names))
    return found


def _about_the_judge(summary: Summary) -> Iterator[Note]:
    if not summary.get("judge"):
        return
    unjudged: dict[str, int] = {}
    for row in summary["scores"]:
        judged = row["metrics"].get("judge.correct")
        left = row["n"] - (judged.get("n", row["n"]) if judged else 0)
        unjudged[row["benchmark"]] = unjudged.get(row["benchmark"], 0) + left
    for benchmark, count in unjudged.items():
        words = f" {count} answers got no judgement that could be read and are left out of n."
        yield Note(
            benchmark,
            f"“judge: correct” and “judge: faithful” are the words of {summary['judge']}, a model, "
            f"not a measurement: read them beside the metrics.{words if count else ''}",
        )


def _about_comparisons(summary: Summary) -> Iterator[Note]:
    names = names_of(summary)
    undecided: dict[str, list[str]] = {}
    for row in summary["comparisons"]:
        if not row["shown"]:
            pair = f"{_system(row['first'], names)} and {_system(row['second'], names)}"
            undecided.setdefault(row["benchmark"], []).append(
                f"{pair} in {names.get(row['metric'], row['metric'])}"
            )
    for benchmark, pairs in undecided.items():
        if len(pairs) > _PAIRS_NAMED:
            tests = sum(row["benchmark"] == benchmark for row in summary["comparisons"])
            yield Note(
                benchmark,
                f"No difference shown by the paired test in {len(pairs)} of {tests} pairs; the "
                "table of pairs names them.",
            )
            continue
        yield Note(
            benchmark,
            "No difference shown by the paired test (an interval that includes zero, or p of 0.05 "
            "or more) "
            f"between {'; between '.join(pairs)}.",
        )


def _about_retrieval(summary: Summary) -> Iterator[Note]:
    recall = {
        (row["benchmark"], row["setting"], row["system"]): row["metrics"]["recall@1"]["value"]
        for row in summary["retrieval"]
    }
    decided = {
        (row["benchmark"], row["first"]["setting"])
        for row in summary["comparisons"]
        if row["shown"]
        and row["metric"] == "recall@1"
        and {row["first"]["system"], row["second"]["system"]} == {"stage3", "bm25"}
    }
    for (benchmark, setting, system), value in recall.items():
        lexical = recall.get((benchmark, setting, "bm25"), 0.0)
        if system == "stage3" and setting == "oracle" and lexical > value:
            is_shown = (benchmark, setting) in decided
            verdict = (
                "BM25 ranks better than stage 3"
                if is_shown
                else "BM25 is ahead of stage 3, by no more than the paired test puts down to chance"
            )
            yield Note(
                benchmark,
                f"{verdict} ({lexical:.2f} against {value:.2f} in Recall@1, "
                "oracle): the questions repeat words of their passages, which is all that BM25 "
                "needs. Whether the answer's loss alone teaches retrieval is read from 'before "
                "stage 3' to 'stage 3'.",
            )
    if recall and summary.get("own", True) and summary["model"]["query_init"] != "encoder":
        yield Note(
            "all",
            "The query reasoner started at random (training.stage3.query_init), so the row "
            "'before stage 3' shows the encoder as retriever, not what stage 3 started from.",
        )


def _about_the_model(summary: Summary) -> Iterator[Note]:
    small = [system["name"] for system in summary.get("systems", ()) if system.get("small")]
    if not summary.get("own", True) and small:
        yield Note(
            "all",
            f"Small decoders ({', '.join(small)}) know little of the world and little language: on "
            "questions that people ask their scores lie near zero whatever the method. They show "
            "that everything runs, and nothing about how well CLaRa works.",
        )
    if summary.get("own", True) and summary["model"]["base"] == "built-in":
        yield Note(
            "all",
            "The decoder was built and pretrained on this machine within minutes. It has no "
            "knowledge of the world and little language; none of these figures can be compared "
            "with the paper's, which come from decoders a thousand times larger.",
        )
        yield Note(
            "all",
            "What may be concluded: whether each part learns what it is meant to learn. What may "
            "not: which rate, stage or retriever is best for your documents with a real decoder.",
        )


def _system(row: dict[str, Any], names: dict[str, str]) -> str:
    return f"{names.get(row['system'], row['system'])} ({row['setting']})"
