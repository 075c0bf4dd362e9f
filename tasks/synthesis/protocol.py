"""The protocol for one passage: facts, questions until they are covered, a verified paraphrase.

Source: CLaRa paper (arXiv 2511.18659), data synthesis: simple questions cover every fact, complex
ones join facts, missing facts are asked for in up to ten rounds, failing sets are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks.synthesis.ask import Conversation
from tasks.synthesis.checks import fault_of_paraphrase, normalise
from tasks.synthesis.pairs import Desk, Pair, as_lists
from tasks.synthesis.prompts import build_messages
from tasks.synthesis.replies import Agreement, Coverage, Facts, Paraphrase


@dataclass
class Simple:
    """One-fact pairs of a passage, its facts, and which of them (by index) are covered."""

    pairs: list[Pair] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    covered: set[int] = field(default_factory=set)
    rounds: int = 0


async def ask_simple(talk: Conversation, text: str) -> Simple:
    """Ask for one-fact questions until every fact is covered, or rounds or questions run out."""
    settings = talk.settings
    reply = await talk.ask("facts", build_messages("facts", [text]), Facts)
    if reply is None:
        return Simple()
    result = Simple(facts=list({normalise(fact): fact for fact in reply[0].facts}.values()))
    if not result.facts:
        talk.reject("facts", "no fact was found")
        return result
    desk = Desk(talk, [text], "simple")
    while result.rounds < settings.max_rounds:
        uncovered = [i for i in range(len(result.facts)) if i not in result.covered]
        wanted = min(len(uncovered), settings.simple_questions - len(desk.kept))
        if wanted <= 0:
            break
        result.rounds += 1
        facts = [result.facts[i] for i in uncovered]
        new = await desk.ask("simple_qa", wanted, {"facts": facts})
        if new:
            await _note_coverage(talk, text, result, uncovered, desk.kept, new)
        elif not desk.set_aside:
            break  # it has nothing more to ask
    result.pairs = desk.kept
    return _without_thin(talk, result)


async def _note_coverage(
    talk: Conversation,
    text: str,
    result: Simple,
    uncovered: list[int],
    kept: list[Pair],
    new: list[Pair],
) -> None:
    """Mark the facts that pairs now cover, and add those that nobody had listed."""
    facts = [result.facts[i] for i in uncovered]
    messages = build_messages("coverage", [text], lists={"facts": facts, **as_lists(kept)})
    reply = await talk.ask("coverage", messages, Coverage, role="verification")
    if reply is None:  # what the questions themselves name is the next best
        numbers = [number for pair in new for number in pair.facts]
    else:
        numbers = reply[0].covered
        known = {normalise(fact) for fact in result.facts}
        for fact in reply[0].missing:
            if normalise(fact) not in known:
                known.add(normalise(fact))
                result.facts.append(fact)
    result.covered |= {uncovered[n - 1] for n in numbers if 1 <= n <= len(uncovered)}


def _without_thin(talk: Conversation, result: Simple) -> Simple:
    """The result, or no pairs where too few facts are covered."""
    goal = min(len(result.facts), talk.settings.simple_questions)
    if result.pairs and len(result.covered) < talk.settings.min_coverage * goal:
        talk.reject(
            "simple_qa",
            f"{len(result.covered)} of {goal} facts covered after {result.rounds} rounds, less "
            f"than min_coverage {talk.settings.min_coverage:g}: {len(result.pairs)} pairs dropped",
        )
        result.pairs = []
    return result


async def ask_complex(talk: Conversation, text: str, simple: Simple) -> list[Pair]:
    """Questions that join at least two facts; those set aside are replaced in further rounds."""
    settings = talk.settings
    if len(simple.facts) < 2:
        return []
    seen = {normalise(pair.question) for pair in simple.pairs}
    desk = Desk(talk, [text], "complex", seen=seen)
    for _ in range(settings.max_rounds):
        wanted = settings.complex_questions - len(desk.kept)
        if wanted <= 0:
            break
        await desk.ask("complex_qa", wanted, {"facts": simple.facts}, least_facts=2)
        if not desk.set_aside:
            break
    return desk.kept


async def ask_paraphrase(
    talk: Conversation, text: str, facts: list[str]
) -> tuple[str, list[str]] | None:
    """A paraphrase that agrees with the passage and keeps its facts, with its requests; or None.

    A paraphrase that fails is asked for again with the reason, until the reply repeats itself.
    """
    set_aside: list[str] = []
    seen: set[str] = set()
    for _ in range(talk.settings.max_rounds):
        messages = build_messages("paraphrase", [text], lists={"set_aside": set_aside})
        reply = await talk.ask("paraphrase", messages, Paraphrase)
        if reply is None or normalise(reply[0].paraphrase) in seen:
            return None
        paraphrase, request = reply[0].paraphrase, reply[1]
        seen.add(normalise(paraphrase))
        fault = fault_of_paraphrase(paraphrase, text)
        if fault is None:
            lists = {"facts": facts, "paraphrase": [paraphrase]}
            check = build_messages("verify_paraphrase", [text], lists=lists)
            verdict = await talk.ask("verify_paraphrase", check, Agreement, role="verification")
            if verdict is None:
                return None
            fault = _fault(verdict[0], facts)
            if fault is None:
                return paraphrase, [request, verdict[1]]
        talk.reject("paraphrase", fault)
        set_aside = [f"{paraphrase} ({fault})"]
    return None


def _fault(verdict: Agreement, facts: list[str]) -> str | None:
    if not verdict.agrees:
        return f"the paraphrase disagrees ({verdict.reason or 'no reason given'})"
    missing = [facts[n - 1] for n in verdict.missing if 1 <= n <= len(facts)]
    return f"the paraphrase leaves out: {'; '.join(missing)}" if missing else None
