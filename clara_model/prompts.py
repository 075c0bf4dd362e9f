"""What the generator is told: system strings, user turns, and the chat template around them.

The system strings are part of the checkpoint format: released weights were trained on them to the
letter. The paraphrase instructions are free wording. Nothing here imports torch.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from clara_model.errors import ConfigError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SYSTEM_LIST_QA = (
    "You are a helpful assistant. Given a document, your task is to generate some single questions "
    "to cover all key information of the document and answer them sequentially."
)
SYSTEM_PARAPHRASE = (
    "You are a helpful assistant. Your task is follow the instructions to paraphrase the "
    "background information."
)
SYSTEM_ANSWER = (
    "You are a helpful assistant. Your task is to extract relevant information from provided "
    "documents and to answer to questions as briefly as possible."
)

PARAPHRASE_INSTRUCTIONS = (
    "Say the same thing in other words.",
    "Rewrite the background in your own words.",
    "Express everything above differently, without leaving anything out.",
    "Put this information into new sentences.",
    "How else could this be told?",
    "Retell the background text.",
    "Write another version of the text above with the same meaning.",
    "In different words, this reads:",
    "Tell me again what the background says, phrased anew.",
    "Reformulate the passage and keep every fact.",
    "Give the content of the background in a fresh wording.",
    "What does the text say? Use other sentences.",
)


# Names of the tokens that encoding.py adds; a text may hold them by chance.
_OWN_TOKEN = re.compile(r"<(MEM\d*|AE|ENC|SEP)>")


class Turn(NamedTuple):
    """The two turns in front of the assistant's."""

    system: str
    user: str


def escape(text: str) -> str:
    """Keep a text that happens to hold one of CLaRa's tokens from being read as that token."""
    return _OWN_TOKEN.sub(r"< \1>", text)


def list_qa_turn(slots: str) -> Turn:
    """Stage 1, QA: asks for questions and answers that cover the document."""
    return Turn(SYSTEM_LIST_QA, f"Background:\n{slots}")


def paraphrase_turn(slots: str, instruction: str) -> Turn:
    """Stage 1, paraphrase: the instruction follows the document."""
    return Turn(SYSTEM_PARAPHRASE, f"Background: {slots} {escape(instruction)}")


def answer_turn(slots: str, question: str) -> Turn:
    """Stages 2 and 3: a question about the documents in front of it."""
    return Turn(SYSTEM_ANSWER, f"Background:\n{slots}\n\nQuestion:{escape(question)}")


def full_text_turn(documents: list[str], question: str) -> Turn:
    """The same question over plain text, or over nothing (closed book) without documents."""
    if not documents:
        return Turn(SYSTEM_ANSWER, f"Question:{escape(question)}")
    return answer_turn(escape("\n\n".join(documents)), question)


def list_qa_answer(questions: list[str], answers: list[str]) -> str:
    """The assistant's turn of stage 1, QA."""
    pairs = zip(questions, answers, strict=True)
    return "\n".join(f"{question_line(q)} {a}" for q, a in pairs)


def question_line(question: str) -> str:
    """How a question is written in a stage 1 list, up to where its answer starts."""
    return f"Question: {question}\nAnswer:"


def draw_instruction(rng: random.Random) -> str:
    """One of the paraphrase instructions."""
    return rng.choice(PARAPHRASE_INSTRUCTIONS)


def render(tokenizer: PreTrainedTokenizerBase, turn: Turn, answer: str | None = None) -> str:
    """Write a conversation in the base model's chat template.

    Where the template refuses a system role, system and user text share the user turn.

    Args:
        tokenizer: The base model's, with a chat template.
        turn: System and user text.
        answer: The assistant's text; None for a prompt that the model is to continue.

    Raises:
        ConfigError: If the tokenizer has no chat template, or it refuses the conversation.
    """
    from jinja2.exceptions import TemplateError

    if not tokenizer.chat_template:
        raise ConfigError(
            f"the tokenizer of {tokenizer.name_or_path} has no chat template; choose an "
            "instruction-tuned base, or add a chat_template.jinja to its folder"
        )
    reply = [] if answer is None else [{"role": "assistant", "content": answer}]
    apart = [
        {"role": "system", "content": turn.system},
        {"role": "user", "content": turn.user},
    ]
    joined = [{"role": "user", "content": f"{turn.system}\n{turn.user}"}]
    options: dict[str, Any] = {
        "tokenize": False,
        "add_generation_prompt": answer is None,
        "enable_thinking": False,
    }
    try:
        return str(tokenizer.apply_chat_template(apart + reply, **options))
    except TemplateError:
        pass
    try:
        return str(tokenizer.apply_chat_template(joined + reply, **options))
    except TemplateError as err:
        raise ConfigError(
            f"the chat template of {tokenizer.name_or_path} refuses a user turn: {err}; choose an "
            "instruction-tuned base, or another chat_template.jinja"
        ) from err


def render_pair(tokenizer: PreTrainedTokenizerBase, turn: Turn, answer: str) -> tuple[str, str]:
    """The prompt, and what the assistant's turn adds to it.

    Raises:
        DataError: If the prompt is not the beginning of the whole text, so that nobody could say
            which part is the answer.
    """
    prompt, whole = render(tokenizer, turn), render(tokenizer, turn, answer)
    if not whole.startswith(prompt):
        raise DataError(
            f"the chat template of {tokenizer.name_or_path} writes a finished conversation unlike "
            f"its own prompt (which ends with {prompt[-40:]!r}), so the answer cannot be told "
            "apart; use a template whose prompt is a prefix of the whole text"
        )
    return prompt, whole[len(prompt) :]


def render_started_answer(tokenizer: PreTrainedTokenizerBase, turn: Turn, start: str) -> str:
    """A prompt whose assistant turn already begins with `start`, spaced as in training."""
    # Some templates put a space in front of the answer or something after it, so the place where
    # the answer stands is looked up in a finished conversation.
    prompt, added = render_pair(tokenizer, turn, f"{start} ...")
    end = added.find(start) + len(start)
    if end < len(start):
        raise DataError(
            f"the chat template of {tokenizer.name_or_path} changes the assistant's text; "
            "use one that keeps it"
        )
    return prompt + added[:end]
