"""Beyond the paper: questions over two passages, across languages, and without an answer."""

from __future__ import annotations

from tasks.storage import Record
from tasks.synthesis.ask import Conversation
from tasks.synthesis.checks import fault_of_question, normalise
from tasks.synthesis.entities import Link
from tasks.synthesis.pairs import Desk
from tasks.synthesis.prompts import build_messages
from tasks.synthesis.replies import Answers, Questions

OTHER_LANGUAGE = {"en": "zh", "zh": "en"}
# How many passages that share a name are also asked whether they answer the unanswerable.
_RELATIVES = 2


async def ask_joint(talk: Conversation, first: Record, link: Link) -> list[Record]:
    """Pairs whose answer needs both passages."""
    second = link.passage
    desk = Desk(talk, [first["text"], second["text"]], "joint")
    await desk.ask("joint_qa", talk.settings.joint_questions, {"shared": [link.name]})
    both = [first["id"], second["id"]]
    return [pair.record(first["language"]) | {"passage_ids": both} for pair in desk.kept]


async def ask_cross_lingual(talk: Conversation, passage: Record) -> list[Record]:
    """Pairs about an English passage in Chinese, or the reverse; names stay as they are."""
    language = OTHER_LANGUAGE[passage["language"]]
    desk = Desk(talk, [passage["text"]], "cross_lingual", language=language)
    await desk.ask("cross_lingual", talk.settings.cross_lingual_questions, {})
    return [pair.record(language) for pair in desk.kept]


async def ask_unanswerable(
    talk: Conversation, passage: Record, relatives: list[Link]
) -> list[Record]:
    """A question that neither the passage nor its relatives answer; the answer is a refusal.

    The check reads each text alone and has to find nothing.
    """
    text = passage["text"]
    reply = await talk.ask(
        "unanswerable", build_messages("unanswerable", [text], number=1), Questions
    )
    for question in reply[0].questions[:1] if reply else ():
        fault = fault_of_question(question.question)
        requests = [reply[1]] if reply else []
        for known in [text, *_nearest(relatives, question.question)]:
            if fault is None:
                fault, request = await _answered(talk, question.question, known)
                requests.append(request)
        if fault is not None:
            talk.reject("unanswerable", f"{fault}: {question.question}")
            continue
        refusal = talk.settings.refusal_in(passage["language"])
        return [
            {"question": question.question, "answer": refusal, "language": passage["language"],
             "requests": list(dict.fromkeys(requests))}
        ]  # fmt: skip
    return []


def _nearest(relatives: list[Link], question: str) -> list[str]:
    """Texts of the passages that share a name with the question, then of the others."""
    ranked = sorted(relatives, key=lambda link: link.name not in question)
    return [link.passage["text"] for link in ranked[:_RELATIVES]]


async def _answered(talk: Conversation, question: str, text: str) -> tuple[str | None, str]:
    """What speaks against a question being unanswerable from a text, and the request that said."""
    messages = build_messages("answer", [text], lists={"questions": [question]})
    reply = await talk.ask("answer", messages, Answers, role="verification")
    if reply is None:
        return "it was not verified", ""
    said = [answer.answer for answer in reply[0].answers if answer.number == 1]
    if not said:
        return "it was not verified", reply[1]
    return (f"a passage answers it ({said[0]})" if normalise(said[0]) else None), reply[1]
