"""What two-hop questions would score without the two hops: the floor beside every result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from clara_model.world.categories import CATEGORIES
from clara_model.world.parsing import is_company, names_in, states, title_of


def shortcut_scores(rows: Iterable[dict[str, Any]], k: int = 5) -> dict[str, float]:
    """Expected exact match of answers that use one hop or none, over the two-hop rows among `rows`.

    Returns:
        any_company: the answer taken from a random company's document. employer: from a random
        company that a person's document names. most_named: from a company that most documents
        name. hinted: from a random company that the question's hint fits (any company where there
        is no hint). `recall@k`: chance of both golds among k documents where the person's is
        found and the rest is filled with random companies that the hint fits.
    """
    scores: list[dict[str, float]] = []
    for row in rows:
        if len(row["pos_index"]) == 2:
            scores.append(_row_scores(row, k))
    if not scores:
        raise ValueError("no two-hop row: nothing to score")
    return {name: sum(score[name] for score in scores) / len(scores) for name in scores[0]}


def hinted_companies(row: dict[str, Any]) -> list[int]:
    """Positions of the companies that a question's hint fits; of all where there is no hint."""
    return [
        place
        for place, document in enumerate(row["docs"])
        if is_company(title_of(document)) and _fits(row["question"], document)
    ]


def _row_scores(row: dict[str, Any], k: int) -> dict[str, float]:
    documents = {title_of(document): document for document in row["docs"]}
    companies = [title for title in documents if is_company(title)]
    named = Counter(
        name
        for title, document in documents.items()
        for name in set(names_in(document)) - {title}
        if name in documents
    )
    most = max(named.values())
    fitting = [title_of(row["docs"][place]) for place in hinted_companies(row)]
    return {
        name: sum(states(documents[c], row["gold_answer"]) for c in chosen) / len(chosen)
        for name, chosen in {
            "any_company": companies,
            "employer": list(named),
            "most_named": [c for c, times in named.items() if times == most],
            "hinted": fitting,
        }.items()
    } | {f"recall@{k}": min(1.0, (k - 1) / len(fitting))}


def _fits(question: str, document: str) -> bool:
    """Whether the company has a value of every category that the question gives."""
    return all(
        any(states(document, value) for value in values) for values in _hinted_values(question)
    )


def _hinted_values(question: str) -> list[Sequence[str]]:
    return [
        values
        for attribute in ("home_city", "founding_year")
        for category, values in CATEGORIES[attribute].members.items()
        if states(question, category)
    ]
