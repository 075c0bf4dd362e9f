"""What captions and synthesis would ask for, and what it would cost, before anything is sent.

The prompts are the real ones, built from the passages; how long replies are and how many rounds a
passage takes is assumed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from configs.base import EndpointSettings, Role
from configs.schema import PipelineConfig
from configs.synthesis import SynthesisSettings
from tasks.captioning.prompts import build_messages as show_picture
from tasks.llm.tokens import count_messages, count_text
from tasks.manifests import list_files
from tasks.storage import read_records
from tasks.synthesis.prompts import Kind, Lists, Messages, Task, build_messages
from tasks.synthesis.settings import usable_settings
from tasks.workspace import Workspace

# Rounds of questions a passage takes until its facts are covered.
_ROUNDS = 1.25
# Tokens of the shortest sentence that states a fact; headings and table cells are shorter.
_SHORTEST_FACT = 8
# A passage is filled to this share of its length: sentences are never cut.
_FILLED = 0.8
# A question or answer in JSON, besides its text.
FRAME_TOKENS = 12
ANSWER_TOKENS = 8
_CAPTION_TOKENS = 250
_HINT_TOKENS = 100
# More passages than these are sampled evenly.
_SAMPLE = 400
# Characters of text in a byte of a file, by its kind: rough, as pictures take any room.
_TEXT_IN_A_BYTE = {".txt": 1.0, ".md": 1.0, ".html": 0.4, ".htm": 0.4, ".pdf": 0.1, ".docx": 0.3,
                   ".pptx": 0.02, ".xlsx": 0.3}  # fmt: skip
_PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"}
_FILLER = "The works on the northern harbour were opened in the year 1987 by its founder. "
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")


@dataclass(frozen=True)
class Line:
    """Calls of one model in one step; `cost_usd` is None where its price is not known."""

    step: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None


@dataclass(frozen=True)
class Source:
    """Texts to ask about: a sample of them, how many there are, and where they come from."""

    texts: Sequence[str]
    number: int
    origin: str


@dataclass(frozen=True)
class Call:
    """A request that is sent `times` times, on an average."""

    role: Role
    messages: Messages
    completion_tokens: int
    times: float = 1.0


def estimate_captions(settings: EndpointSettings, images: int) -> list[Line]:
    """The captioning step, each picture asked about once."""
    if not images:
        return []
    words = show_picture(b"")
    call = Call("vision", words, _CAPTION_TOKENS, images)
    return sum_calls("caption", settings, [call], extra_prompt=_HINT_TOKENS)


def estimate_synthesis(config: PipelineConfig, source: Source) -> list[Line]:
    """The synthesis step over all texts, but for the embeddings that find repeated questions."""
    settings = usable_settings(config)
    if not source.texts:
        return []
    scale = source.number / len(source.texts)
    calls = (call for text in source.texts for call in _about(text, settings))
    return sum_calls("synthesize", settings, calls, scale)


def find_texts(config: PipelineConfig, workspace: Workspace) -> Source:
    """The passages if they are there, else what they will roughly be."""
    length = config.model.doc_max_length
    if workspace.passages.is_file():
        texts = [row["text"] for row in read_records(workspace.passages)]
        return _sampled(texts, "passages.jsonl")
    if workspace.raw_knowledge.is_file():
        rows = read_records(workspace.raw_knowledge)
        return _sampled([p for row in rows for p in _cut(row["content"], length)],
                        "extracted texts, not yet cut into passages")  # fmt: skip
    characters = sum(
        path.stat().st_size * _TEXT_IN_A_BYTE.get(path.suffix.lower(), 0.0)
        for path in _files(config.extraction.input)
    )
    number = ceil(characters / (4 * _FILLED * length))
    text = (_FILLER * ceil(4 * length / len(_FILLER)))[: int(4 * _FILLED * length)]
    return Source([text] if number else [], number, "sizes of the files, which is rough")


def count_images(config: PipelineConfig, workspace: Workspace) -> tuple[int, str]:
    """Pictures to caption, and where that is known from."""
    if workspace.raw_knowledge.is_file():
        rows = read_records(workspace.raw_knowledge)
        names = {name for row in rows for name in row.get("extracted_images", [])}
        return len(names), "raw_knowledge.jsonl; decoration and repeats will be skipped"
    files = [p for p in _files(config.extraction.input) if p.suffix.lower() in _PICTURES]
    return len(files), "picture files; those inside documents are known after extraction"


def _about(text: str, settings: SynthesisSettings) -> Iterator[Call]:
    """What is asked about one passage, as in `tasks.synthesis.protocol` and `beyond`."""
    facts = facts_of(text)
    yield Call("questions", build_messages("facts", [text]), _reply(facts))
    simple = facts[: settings.simple_questions]
    yield from _round("simple_qa", "simple", [text], simple, {"facts": facts}, _ROUNDS)
    covered: Lists = {"facts": facts, "pairs": simple}
    coverage = build_messages("coverage", [text], lists=covered)
    yield Call("verification", coverage, 3 * len(facts) + FRAME_TOKENS, _ROUNDS)
    if len(facts) > 1 and settings.complex_questions:
        joined = facts[: settings.complex_questions]
        yield from _round("complex_qa", "complex", [text], joined, {"facts": facts}, _ROUNDS)
    if settings.paraphrase:
        yield Call("questions", build_messages("paraphrase", [text]), _reply([text]), _ROUNDS)
        lists: Lists = {"facts": facts, "paraphrase": [text]}
        check = build_messages("verify_paraphrase", [text], lists=lists)
        yield Call("verification", check, 2 * FRAME_TOKENS, _ROUNDS)
    foreign = facts[: settings.cross_lingual_questions]
    share = settings.cross_lingual_share
    yield from _round("cross_lingual", "cross_lingual", [text], foreign, {}, share)
    both = facts[: settings.joint_questions]
    yield from _round("joint_qa", "joint", [text, text], both, {}, settings.joint_share)
    share = settings.unanswerable_share
    yield Call("questions", build_messages("unanswerable", [text]), _reply(facts[:1]), share)
    known = build_messages("answer", [text], lists={"questions": facts[:1]})
    yield Call("verification", known, ANSWER_TOKENS + FRAME_TOKENS, 3 * share)


def _round(
    task: Task, kind: Kind, texts: list[str], questions: list[str], lists: Lists, times: float
) -> Iterator[Call]:
    """Questions (as long as the facts that they ask for), their answers, and the check."""
    if not questions or not times:
        return
    asked = build_messages(task, texts, number=len(questions), lists=lists)
    yield Call("questions", asked, _reply(questions), times)
    answers = build_messages("answer", texts, lists={"questions": questions})
    per_answer = ANSWER_TOKENS + FRAME_TOKENS
    yield Call("questions", answers, len(questions) * per_answer, times)
    check = build_messages("verify", texts, kind=kind, lists={"pairs": questions})
    yield Call("verification", check, len(questions) * (ANSWER_TOKENS + per_answer), times)


def facts_of(text: str) -> list[str]:
    """One a sentence, which is what models list, roughly; always one."""
    parts = [part for part in map(str.strip, _SENTENCE_END.split(text)) if part]
    return [part for part in parts if count_text(part) >= _SHORTEST_FACT] or [text.strip()]


def _reply(items: Iterable[str]) -> int:
    return sum(count_text(item) + FRAME_TOKENS for item in items)


def sum_calls(
    step: str,
    settings: EndpointSettings,
    calls: Iterable[Call],
    scale: float = 1.0,
    extra_prompt: int = 0,
) -> list[Line]:
    """Calls by model; each stands for `scale` of its kind, and takes `extra_prompt` tokens more."""
    totals: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for call in calls:
        times = call.times * scale
        numbers = (1, count_messages(call.messages) + extra_prompt, call.completion_tokens)
        total = totals[settings.model_for(call.role)]
        totals[settings.model_for(call.role)] = [
            a + times * b for a, b in zip(total, numbers, strict=True)
        ]
    return [line_of(step, settings, model, total) for model, total in totals.items()]


def line_of(step: str, settings: EndpointSettings, model: str, total: Sequence[float]) -> Line:
    """Calls, tokens in and tokens out of a model, and what they cost where that is known."""
    number, prompt, completion = total
    price = settings.price_of(model)
    cost = None
    if price is not None:
        cost = (prompt * price.prompt + completion * price.completion) / 1e6
    return Line(step, model, round(number), round(prompt), round(completion), cost)


def _sampled(texts: list[str], origin: str) -> Source:
    return Source(texts[:: ceil(len(texts) / _SAMPLE) or 1], len(texts), origin)


def _cut(text: str, length: int) -> Iterator[str]:
    """Pieces about as large as passages."""
    if not text:
        return
    pieces = max(1, ceil(count_text(text) / (_FILLED * length)))
    size = ceil(len(text) / pieces)
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else list_files(place)
