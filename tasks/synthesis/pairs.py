"""Questions to pairs: answered in a request of their own, checked by rule, verified by another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tasks.storage import Record
from tasks.synthesis.ask import Conversation
from tasks.synthesis.checks import fault_of_language, fault_of_pair, fault_of_question, normalise
from tasks.synthesis.prompts import Kind, Lists, Task, build_messages
from tasks.synthesis.replies import Answers, Questions, Verdicts


@dataclass(frozen=True, slots=True)
class Pair:
    """A question under way: its answer, the facts it was asked for, and the requests so far."""

    question: str
    answer: str = ""
    facts: tuple[int, ...] = ()
    requests: tuple[str, ...] = ()

    def record(self, language: str) -> Record:
        """The pair as it is written."""
        return {
            "question": self.question, "answer": self.answer, "language": language,
            "requests": list(dict.fromkeys(self.requests)),
        }  # fmt: skip

    def __str__(self) -> str:
        return f"{self.question} / {self.answer}" if self.answer else self.question


@dataclass
class Desk:
    """Pairs of one kind about the same texts: those kept, and those set aside in the last round.

    Args:
        talk: Where requests go and rejects are noted.
        texts: The passages that questions are about.
        kind: What the pairs must be.
        language: Code of the language to ask in, where it is not the passage's.
        seen: Normalised questions that must not come again.
    """

    talk: Conversation
    texts: Sequence[str]
    kind: Kind
    language: str | None = None
    seen: set[str] = field(default_factory=set)
    kept: list[Pair] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)

    async def ask(
        self, task: Task, number: int, lists: Lists, *, least_facts: int = 0
    ) -> list[Pair]:
        """One round: new questions, their answers, and those pairs that hold; also in `kept`.

        Args:
            task: The request for questions.
            number: Most questions wanted.
            lists: What goes with the request besides questions asked and set aside.
            least_facts: How many of the listed facts a question must name.
        """
        history = {"asked": [pair.question for pair in self.kept], "set_aside": self.set_aside}
        messages = build_messages(
            task, self.texts, number=number, language=self.language, lists={**lists, **history}
        )
        self.set_aside = []
        reply = await self.talk.ask(task, messages, Questions)
        if reply is None:
            return []
        drafts = []
        for question in reply[0].questions[:number]:
            plain = normalise(question.question)
            if plain in self.seen:
                continue
            self.seen.add(plain)
            facts = tuple(dict.fromkeys(question.facts))
            pair = Pair(question.question, facts=facts, requests=(reply[1],))
            fault = fault_of_question(pair.question)
            fault = fault or fault_of_language(pair.question, self.language)
            if fault is None and len(facts) < least_facts:
                fault = f"it names fewer than {least_facts} facts to join"
            if fault is None:
                drafts.append(pair)
            else:
                self._put_aside(task, fault, pair)
        good = await self._verify(task, await self._answer(task, drafts))
        self.kept += good
        return good

    async def _answer(self, task: Task, drafts: list[Pair]) -> list[Pair]:
        """The drafts that got an answer which stands in the texts."""
        if not drafts:
            return []
        questions = [pair.question for pair in drafts]
        messages = build_messages(
            "answer", self.texts, language=self.language, lists={"questions": questions}
        )
        reply = await self.talk.ask("answer", messages, Answers)
        if reply is None:
            return self._drop(task, "it got no answer", drafts)
        said = {answer.number: answer.answer for answer in reply[0].answers}
        answered = []
        for number, draft in enumerate(drafts, 1):
            answer = said.get(number, "")
            pair = replace(draft, answer=answer, requests=(*draft.requests, reply[1]))
            fault = "the passage does not answer it" if not answer else None
            fault = fault or fault_of_pair(
                pair.question, answer, "\n".join(self.texts), verbatim=self.kind == "simple"
            )
            if fault is None:
                answered.append(pair)
            else:
                self._put_aside(task, fault, pair)
        return answered

    async def _verify(self, task: Task, pairs: list[Pair]) -> list[Pair]:
        """The pairs that a second look at the texts confirms."""
        if not pairs:
            return []
        messages = build_messages(
            "verify", self.texts, kind=self.kind, language=self.language, lists=as_lists(pairs)
        )
        reply = await self.talk.ask("verify", messages, Verdicts, role="verification")
        if reply is None:
            return self._drop(task, "it was not verified", pairs)
        verdicts = {verdict.number: verdict for verdict in reply[0].verdicts}
        good = []
        for number, pair in enumerate(pairs, 1):
            verdict = verdicts.get(number)
            if verdict is not None and verdict.correct:
                good.append(replace(pair, requests=(*pair.requests, reply[1])))
            else:
                why = verdict.reason if verdict else "no verdict on it"
                self._put_aside(task, f"not verified ({why or 'no reason given'})", pair)
        return good

    def _drop(self, task: Task, reason: str, pairs: list[Pair]) -> list[Pair]:
        for pair in pairs:
            self._put_aside(task, reason, pair)
        return []

    def _put_aside(self, task: Task, reason: str, pair: Pair) -> None:
        self.talk.reject(task, f"{reason}: {pair}")
        self.set_aside.append(f"{pair.question} ({reason})")


def as_lists(pairs: Sequence[Pair]) -> Lists:
    """Pairs as a block of a request."""
    return {"pairs": [str(pair) for pair in pairs]}
