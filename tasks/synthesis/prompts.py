"""What the LLM is asked for each passage. A change of wording raises PROMPT_VERSION."""

from __future__ import annotations

from typing import Any, Literal

PROMPT_VERSION = 1

Task = Literal["simple_qa", "complex_qa", "paraphrase"]
Messages = list[dict[str, Any]]

_SYSTEM = (
    "You make training data for a question answering system. You work from the passage alone, "
    "write in the passage's language, and reply with one JSON object and nothing else."
)
_INSTRUCTIONS: dict[Task, str] = {
    "simple_qa": (
        "Write questions that each ask for one fact of the passage, each fact once. A question "
        "must be understood by someone who does not see the passage: use full names, and never "
        "speak of a passage, text, document or figure. An answer is as short as possible, in the "
        'passage\'s own words. Reply as {"pairs": [{"question": "...", "answer": "..."}]}.'
    ),
    "complex_qa": (
        "Write questions whose answer joins at least two facts of the passage. A question must be "
        "understood by someone who does not see the passage: use full names, and never speak of a "
        "passage, text, document or figure. An answer is one short sentence or less. Reply as "
        '{"pairs": [{"question": "...", "answer": "..."}]}.'
    ),
    "paraphrase": (
        "Say the passage in other words: keep every fact, name and number, add nothing, change "
        'wording and sentence structure. Reply as {"paraphrase": "..."}.'
    ),
}


def build_messages(task: Task, passage: str, number: int) -> Messages:
    """The conversation that asks for one task on one passage.

    Args:
        task: What to make.
        passage: Text of the passage.
        number: Most pairs wanted; not used for a paraphrase.
    """
    wanted = "" if task == "paraphrase" else f"\nNumber: {number}"
    user = f"Task: {task}{wanted}\n\n{_INSTRUCTIONS[task]}\n\n<passage>\n{passage}\n</passage>"
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": user}]


def build_repair(messages: Messages, reply: str, fault: str) -> Messages:
    """The conversation that asks to mend a reply that could not be read."""
    return [
        *messages,
        {"role": "assistant", "content": reply},
        {"role": "user", "content": f"That could not be read: {fault}. Reply with the JSON only."},
    ]
