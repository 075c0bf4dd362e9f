"""What mining would ask for, and the search for repeated questions: teacher, judge, embeddings.

Before synthesis how many questions there will be is assumed, as in `tasks.llm.estimate`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from configs.base import EndpointSettings
from configs.negatives import EmbeddingSettings
from configs.schema import PipelineConfig
from tasks.llm.estimate import (
    ANSWER_TOKENS,
    FRAME_TOKENS,
    Call,
    Line,
    Source,
    facts_of,
    line_of,
    sum_calls,
)
from tasks.llm.tokens import count_text
from tasks.negatives.judge import build_look, judge_settings
from tasks.storage import read_records
from tasks.synthesis.duplicates import KINDS
from tasks.synthesis.prompts import build_messages
from tasks.synthesis.settings import usable_settings
from tasks.workspace import Workspace

# Of four questions one has a candidate that answers it, and its replacement is looked at.
_REPLACED = 0.25


@dataclass(frozen=True)
class Questions:
    """Questions about texts; `factor` is how many there are of each that is assumed."""

    source: Source
    factor: float
    origin: str

    @property
    def scale(self) -> float:
        """Texts that one of the sample stands for."""
        return self.source.number / max(len(self.source.texts), 1)


def assume_questions(source: Source) -> Questions:
    """As many as the settings ask for, of each fact one at most of a kind."""
    return Questions(source, 1.0, f"{source.origin}; how many there will be is assumed")


def find_questions(config: PipelineConfig, source: Source, workspace: Workspace) -> Questions:
    """The questions of synthesis if they are there, else what they will roughly be."""
    assumed = assume_questions(source)
    if not workspace.synthesis.is_file():
        return assumed
    written = sum(
        len(row.get(kind, ())) for row in read_records(workspace.synthesis) for kind in KINDS
    )
    expected = count_questions(config, assumed)
    return Questions(source, written / expected if expected else 0.0, "synthesis.jsonl")


def count_questions(config: PipelineConfig, questions: Questions) -> float:
    """All questions, those that nothing answers among them."""
    a_text = sum(sum(_asked(text, config)) for text in questions.source.texts)
    return a_text * questions.scale * questions.factor


def estimate_duplicates(config: PipelineConfig, questions: Questions) -> list[Line]:
    """Questions embedded to find those that mean the same, in the synthesis step."""
    settings = config.synthesis.embedding
    if not settings.is_there or settings.local_model is not None:
        return []
    return [_embedding(config, settings, "synthesize", questions, passages=False)]


def estimate_mining(config: PipelineConfig, questions: Questions) -> list[Line]:
    """The `mine` step: the teacher's answers, the judge's looks, and dense negatives' vectors."""
    if not questions.source.texts:
        return []
    lines: list[Line] = []
    scale = questions.scale * questions.factor
    if config.synthesis.teacher:
        lines += sum_calls("mine", config.synthesis, _teaching(config, questions.source), scale)
    if config.negatives.llm_check:
        looks = _looking(config, questions.source, 1.0)
        lines += sum_calls("mine", judge_settings(config), looks, scale)
    dense = config.negatives.dense
    if config.negatives.strategies.dense > 0 and dense.local_model is None:
        lines.append(_embedding(config, dense, "mine", questions, passages=True))
    return lines


def estimate_remining(config: PipelineConfig, questions: Questions) -> list[Line]:
    """The `remine` step: training questions are looked at again; vectors are there already."""
    if not (questions.source.texts and config.negatives.llm_check):
        return []
    looks = _looking(config, questions.source, 1.0 - config.synthesis.benchmark_share)
    scale = questions.scale * questions.factor
    return sum_calls("remine", judge_settings(config), looks, scale)


def own_judge(config: PipelineConfig) -> EndpointSettings | None:
    """The judge, where it has an endpoint and a ledger of its own."""
    return config.negatives.judge if config.negatives.llm_check else None


def _asked(text: str, config: PipelineConfig) -> tuple[float, float]:
    """Questions about a text: those that it answers, and those that nothing does."""
    settings, facts = usable_settings(config), len(facts_of(text))
    return (
        min(facts, settings.simple_questions)
        + (min(facts, settings.complex_questions) if facts > 1 else 0)
        + min(facts, settings.cross_lingual_questions) * settings.cross_lingual_share
        + min(facts, settings.joint_questions) * settings.joint_share,
        settings.unanswerable_share,
    )


def _teaching(config: PipelineConfig, source: Source) -> Iterator[Call]:
    """Training questions that have an answer, each with the k documents of its row."""
    train = 1.0 - config.synthesis.benchmark_share
    for text in source.texts:
        documents = [text] * config.model.generation_top_k
        messages = build_messages("teach", documents, lists={"questions": facts_of(text)[:1]})
        answered, _ = _asked(text, config)
        yield Call("teacher", messages, ANSWER_TOKENS + FRAME_TOKENS, answered * train)


def _looking(config: PipelineConfig, source: Source, share: float) -> Iterator[Call]:
    """One request a question with its negatives, and a second one with a replaced passage."""
    negatives = min(config.negatives.num_candidates, source.number) - 1
    for text in source.texts:
        question, times = facts_of(text)[0], sum(_asked(text, config)) * share
        for texts, often in (([text] * negatives, times), ([text], _REPLACED * times)):
            if texts:
                messages = build_look(question, texts)
                yield Call("verification", messages, ANSWER_TOKENS + FRAME_TOKENS, often)


def _embedding(
    config: PipelineConfig,
    settings: EmbeddingSettings,
    step: str,
    questions: Questions,
    *,
    passages: bool,
) -> Line:
    """Each question once, as long as a fact; each passage once, where they are embedded too."""
    source, scale = questions.source, questions.scale
    number = count_questions(config, questions)
    tokens = number * count_text(settings.query_prefix) + questions.factor * scale * sum(
        sum(_asked(text, config)) * count_text(max(facts_of(text), key=len))
        for text in source.texts
    )
    calls = ceil(number / settings.texts_per_request)
    if passages:
        calls += ceil(source.number / settings.texts_per_request)
        tokens += scale * sum(count_text(settings.passage_prefix + text) for text in source.texts)
    return line_of(step, settings, settings.model, (calls, tokens, 0))
