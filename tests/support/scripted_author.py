"""A language model by table: it answers our prompts about known passages, truly or as told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scripted_endpoint import Act, say


@dataclass(frozen=True)
class About:
    """What the author knows of a passage: facts with their pairs, joined pairs, other words."""

    facts: list[tuple[str, str, str]]
    joined: list[tuple[str, str]] = field(default_factory=list)
    paraphrase: str = ""
    foreign: list[tuple[str, str]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """A request, taken apart."""

    task: str
    texts: tuple[str, ...]
    headers: dict[str, str]
    lists: dict[str, list[str]]
    model: str
    is_repair: bool

    @property
    def text(self) -> str:
        return self.texts[0]


def read(body: dict[str, Any]) -> Asked:
    """A request's task, passages and lists."""
    prompt = body["messages"][-1 if len(body["messages"]) == 1 else 1]["content"]
    if "<passage>" not in prompt:
        return Asked("probe", ("",), {}, {}, body["model"], False)
    head = prompt[: prompt.index("<passage>")]
    lists = {
        name: re.findall(r"^\d+\. (.*)$", block, re.MULTILINE)
        for name, block in re.findall(r"<(\w+)>\n(.*?)\n</\1>", head, re.DOTALL)
    }
    headers = dict(re.findall(r"^(Task|Kind|Number|Language): (.+)$", head, re.MULTILINE))
    texts = tuple(re.findall(r"<passage>\n(.*?)\n</passage>", prompt, re.DOTALL))
    repair = len(body["messages"]) > 2
    return Asked(headers["Task"], texts, headers, lists, body["model"], repair)


Change = Callable[[Asked, dict[str, Any]], "dict[str, Any] | Act | str | None"]


class Author:
    """Answers requests about its passages.

    Args:
        known: What it knows, by passage.
        joint: Pairs that need two passages.
        change: Given a request and the true reply: another reply, or None for the true one.
    """

    def __init__(
        self,
        known: dict[str, About],
        joint: list[tuple[str, str]] | None = None,
        change: Change | None = None,
    ) -> None:
        self.known = known
        self.joint = joint or []
        self.change = change
        self.seen: list[Asked] = []

    def __call__(self, body: dict[str, Any], _: int = 0) -> Act:
        asked = read(body)
        self.seen.append(asked)
        reply: Any = self._truth(asked)
        if self.change is not None:
            changed = self.change(asked, reply)
            reply = reply if changed is None else changed
        if isinstance(reply, Act):
            return reply
        return say(reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False))

    def asked(self, task: str) -> list[Asked]:
        """The requests of one task, in their order."""
        return [asked for asked in self.seen if asked.task == task]

    def answers(self, *texts: str) -> dict[str, str]:
        """Every question that the passages answer."""
        pairs = list(self.joint) if len(texts) > 1 else []
        for text in texts:
            about = self.known[text]
            pairs += [(q, a) for _, q, a in about.facts] + about.joined + about.foreign
        return dict(pairs)

    def _truth(self, asked: Asked) -> dict[str, Any]:
        if asked.task == "probe":
            return {}
        about = self.known[asked.text]
        number = int(asked.headers.get("Number", 0))
        old = asked.lists.get("asked", [])
        facts = asked.lists.get("facts", [])
        pairs = [tuple(line.split(" / ")) for line in asked.lists.get("pairs", [])]
        if asked.task == "facts":
            return {"facts": [fact for fact, _, _ in about.facts]}
        if asked.task == "simple_qa":
            asking = {fact: question for fact, question, _ in about.facts}
            return _questions([(asking[f], [n]) for n, f in enumerate(facts, 1)], number, old)
        offered = {
            "complex_qa": [(q, [1, 2]) for q, _ in about.joined],
            "joint_qa": [(q, []) for q, _ in self.joint],
            "cross_lingual": [(q, []) for q, _ in about.foreign],
            "unanswerable": [(q, []) for q in about.absent],
        }
        if asked.task in offered:
            return _questions(offered[asked.task], number, old)
        truth = self.answers(*asked.texts)
        if asked.task in ("answer", "teach"):
            said = [truth.get(q, "") for q in asked.lists["questions"]]
            if asked.task == "teach":
                return {"answer": said[0]}
            return {"answers": [{"number": n, "answer": a} for n, a in enumerate(said, 1)]}
        if asked.task == "verify":
            return {
                "verdicts": [
                    {"number": n, "correct": truth.get(q) == a, "reason": "" if q in truth else "?"}
                    for n, (q, a) in enumerate(pairs, 1)
                ]
            }
        if asked.task == "coverage":
            by_fact = {fact: (q, a) for fact, q, a in about.facts}
            covered = [n for n, fact in enumerate(facts, 1) if by_fact.get(fact) in pairs]
            return {"covered": covered, "missing": []}
        if asked.task == "paraphrase":
            return {"paraphrase": about.paraphrase}
        assert asked.task == "verify_paraphrase"
        same = asked.lists["paraphrase"] == [about.paraphrase]
        return {"agrees": same, "missing": [], "reason": "" if same else "other words"}


def _questions(offered: list[tuple[str, list[int]]], number: int, old: list[str]) -> dict[str, Any]:
    new = [(question, facts) for question, facts in offered if question not in old]
    return {"questions": [{"question": q, "facts": facts} for q, facts in new[:number]]}
