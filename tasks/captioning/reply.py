"""A vision model's reply: from JSON to one paragraph, refusals told from captions."""

from __future__ import annotations

import json
import re

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

_REFUSAL = re.compile(
    r"^\W*(i'?m sorry|i am sorry|sorry,|i can(no|['’]?)t\b|i can not\b|i am unable|i'm unable|"
    r"unable to|as an ai|抱歉|对不起|很抱歉|我无法|无法描述)",
    re.I,
)
# What would be taken for an image mark, or read as one, further down.
_MARK = re.compile(r"\[\s*IMAGE_REF\s*:[^\]]*\]?", re.I)
_HAN = re.compile(r"[\u3400-\u9fff]")


class UnreadableCaption(ValueError):
    """A reply of another form than asked for; the message says why."""


class RefusedCaption(ValueError):
    """The model declined to describe the picture; the message holds its words."""


class Caption(BaseModel):
    """What a picture shows."""

    model_config = ConfigDict(str_strip_whitespace=True, frozen=True)

    title: str = ""
    visible_text: str = ""
    shown: str = Field(min_length=1)
    key_facts: list[str] = Field(default_factory=list)

    @field_validator("title", "visible_text", mode="before")
    @classmethod
    def _one_text(cls, value: object) -> object:
        """Models give lists of labels, or null, where one text is asked for."""
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return "; ".join(value)
        return "" if value is None else value

    @field_validator("key_facts", mode="before")
    @classmethod
    def _many_facts(cls, value: object) -> object:
        if isinstance(value, str):
            return [value] if value.strip() else []
        return [] if value is None else value


def read_caption(text: str) -> Caption:
    """The caption in a reply, with or without a code fence or words around it.

    Raises:
        RefusedCaption: If the model declined.
        UnreadableCaption: If there is no JSON object, or it has another form.
    """
    start, end = text.find("{"), text.rfind("}")
    if start < 0 and _REFUSAL.match(text):
        raise RefusedCaption(" ".join(text.split())[:120])
    if not text.strip():
        raise UnreadableCaption("the reply is empty")
    if start < 0 or end < start:
        raise UnreadableCaption("there is no whole JSON object")
    try:
        caption = Caption.model_validate(json.loads(text[start : end + 1]))
    except ValidationError as err:
        first = err.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "reply"
        raise UnreadableCaption(f"{place}: {first['msg']}") from err
    except (ValueError, RecursionError) as err:
        raise UnreadableCaption(f"the JSON is broken: {err}") from err
    if _REFUSAL.match(caption.shown):
        raise RefusedCaption(" ".join(caption.shown.split())[:120])
    return caption


def write_caption(caption: Caption) -> str:
    """One paragraph: title, what is shown, visible text, key facts; each said once.

    Labels are Chinese where the caption is; marks that the picture itself shows are taken out.
    """
    shown, title = _plain(caption.shown), _plain(caption.title)
    is_chinese = 3 * len(_HAN.findall(shown)) > len(shown)
    labels = ("图中文字：", "要点：") if is_chinese else ("Visible text: ", "Key facts: ")
    pieces = [title] if title and title.lower() not in shown.lower() else []
    pieces.append(shown)
    visible = _plain(caption.visible_text)
    if visible and visible.lower() not in (shown.lower(), title.lower()):
        pieces.append(labels[0] + visible)
    facts = [fact for fact in map(_plain, caption.key_facts) if fact and fact not in shown]
    if facts:
        pieces.append(labels[1] + " ".join(_ended(fact, is_chinese) for fact in facts))
    return ("" if is_chinese else " ").join(_ended(piece, is_chinese) for piece in pieces)


def _plain(text: str) -> str:
    return " ".join(_MARK.sub(" ", text).split())


def _ended(text: str, is_chinese: bool) -> str:
    return text if text[-1] in ".!?:;。！？：；…)）" else text + ("。" if is_chinese else ".")
