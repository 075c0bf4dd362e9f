"""Closed book, full text and CLaRa's stages, opened from a line and asked like one another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from clara_model import Clara
from clara_model.encoding import encode_prompt
from clara_model.errors import ConfigError, DataError
from clara_model.evaluation.systems import (
    Compressed,
    Memories,
    SystemOptions,
    open_system,
    plan_systems,
)
from clara_model.prompts import full_text_turn, render

SHORT = SystemOptions(max_new_tokens=6, batch_size=2, k=2)


def test_closed_book_and_full_text_answer_as_the_bare_decoder(
    tiny_base: Callable[..., Path], questions: list[str], documents: list[str]
) -> None:
    base = str(tiny_base())
    closed, text = (
        plan.open() for plan in plan_systems([f"closed-book:{base}", f"text:{base}"], SHORT)
    )
    given = [documents[:2], documents[1:3], documents[:1]]
    model = text.generator.model
    alone = [model.answer_from_full_text([q], [[]], 6)[0] for q in questions]
    read = [
        model.answer_from_full_text([q], [d], 6)[0] for q, d in zip(questions, given, strict=True)
    ]
    assert closed.answer(questions, given) == alone
    assert text.answer(questions, given) == read
    assert closed.generator.model is model  # loaded once


@pytest.mark.parametrize(
    ("stage", "layout", "rate"),
    [("stage1", "safetensors", 2), ("stage2", "ml-clara", 12), ("stage3", "ml-clara", 4)],
)
def test_stage_answers_from_memories_in_either_layout_at_any_rate(
    stage: str, layout: str, rate: int, checkpoint: Callable[..., Path],
    questions: list[str], documents: list[str],
) -> None:  # fmt: skip
    folder = checkpoint(stage, layout=layout, compr_rate=rate)
    system = open_system(f"clara:{folder}", SHORT)
    given = [documents[:2], documents[1:3], documents[:1]]  # of unequal number
    model = Clara.from_pretrained(folder)
    ask = model.answer_stage1 if stage == "stage1" else model.generate_from_memory
    expected = [
        ask([q], model.compress_documents(d).unsqueeze(0), 6)[0]
        for q, d in zip(questions, given, strict=True)
    ]
    assert system.answer(questions, given) == expected
    assert system.retrieves == (stage == "stage3")


def test_stage3_ranks_as_the_model_does(
    checkpoint: Callable[..., Path], questions: list[str], documents: list[str]
) -> None:
    folder = checkpoint("stage3")
    system = open_system(f"clara:{folder}", SHORT)
    _, index = Clara.from_pretrained(folder).generate_from_questions(
        questions, [documents] * 3, max_new_tokens=1
    )
    rankings = system.retrieve(questions, [documents] * 3)
    assert [ranking.order[:2] for ranking in rankings] == index.tolist()
    assert all(r.scores == sorted(r.scores, reverse=True) for r in rankings)
    assert system.retrieve(questions, documents) == rankings  # a pool, given once
    assert [r.order for r in system.retrieve(questions, documents, top_n=1)] == [
        r.order[:1] for r in rankings
    ]


def test_encoder_part_reads_the_question_as_a_document(
    checkpoint: Callable[..., Path], questions: list[str], documents: list[str]
) -> None:
    folder = checkpoint("stage2")
    system = open_system(f"encoder:{folder}+clara:{folder}", SHORT)
    model = Clara.from_pretrained(folder)
    query = model.compress_documents([questions[0]]).flatten(1)
    memory = model.compress_documents(documents).flatten(1)
    expected = torch.cosine_similarity(query, memory).tolist()
    ranking = system.retrieve(questions[:1], documents)[0]
    assert ranking.scores == pytest.approx([expected[i] for i in ranking.order], abs=1e-5)
    assert ranking.scores == sorted(ranking.scores, reverse=True)


def test_two_runs_give_equal_answers_with_memories_on_disk_or_not(
    checkpoint: Callable[..., Path], tmp_path: Path, questions: list[str], documents: list[str]
) -> None:
    folder = checkpoint("stage3")
    given = [documents] * 3
    on_disk = SystemOptions(max_new_tokens=6, batch_size=2, memory_folder=tmp_path / "memories")
    runs = []
    for options in (SHORT, SHORT, on_disk, on_disk):
        system = open_system(f"clara:{folder}", options)
        system.prepare(documents)
        runs.append((system.retrieve(questions, given), system.answer(questions, given)))
    assert runs[0] == runs[1] == runs[2] == runs[3]


def test_out_of_memory_halves_the_batch_and_keeps_the_answers(
    tiny_clara: Callable[..., Clara], questions: list[str], documents: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model = tiny_clara(stage="stage3")
    system = Compressed(model, Memories(model), 6, batch_size=3)
    expected = system.answer(questions, [documents[:2]] * 3)
    generate, sizes = model.generate_from_memory, []

    def fails_on_many(asked: list[str], memory: torch.Tensor, *rest: int, **more: int) -> list[str]:
        sizes.append(len(asked))
        if len(asked) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(asked, memory, *rest, **more)

    monkeypatch.setattr(model, "generate_from_memory", fails_on_many)
    assert system.answer(questions, [documents[:2]] * 3) == expected
    assert sizes == [3, 1, 1, 1]


@pytest.mark.parametrize("on_disk", [True, False])
def test_out_of_memory_halves_the_documents_that_are_compressed_together(
    on_disk: bool, tiny_clara: Callable[..., Clara], documents: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model = tiny_clara(stage="stage2")
    expected = model.compress_documents(documents)
    compress, sizes = model.compress_documents, []

    def fails_on_many(texts: list[str], batch_size: int) -> torch.Tensor:
        sizes.append(len(texts))
        if len(texts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return compress(texts, batch_size)

    monkeypatch.setattr(model, "compress_documents", fails_on_many)
    memories = Memories(model, tmp_path / "store" if on_disk else None, batch_size=4)
    assert torch.allclose(memories.lookup(documents), expected, atol=1e-5)
    assert sizes == [4, 2, 2]


def test_prompt_tokens_count_what_the_generator_reads(
    checkpoint: Callable[..., Path], questions: list[str], documents: list[str]
) -> None:
    folder = checkpoint("stage2")  # 24 document tokens at rate 6: 4 memory tokens and a separator
    compressed, text = (
        plan.open() for plan in plan_systems([f"clara:{folder}", f"text:{folder}"], SHORT)
    )
    counts = compressed.generator
    one, three = (counts.prompt_tokens(questions[:1], [documents[:n]])[0] for n in (1, 3))
    assert three - one == 2 * (4 + 1)
    prompt = render(text.generator.model.tokenizer, full_text_turn(documents, questions[0]))
    expected = len(encode_prompt(prompt, text.generator.model.tokenizer))
    assert text.generator.prompt_tokens(questions[:1], [documents]) == [expected]


def test_stored_bytes_are_those_of_the_memories_or_of_the_text(
    checkpoint: Callable[..., Path],
) -> None:
    folder = checkpoint("stage2")
    specs = [f"clara:{folder}", f"text:{folder}", f"closed-book:{folder}"]
    systems = [plan.open() for plan in plan_systems(specs, SHORT)]
    sizes = [system.generator.stored_bytes(["Äpfel", "two"]) for system in systems]
    assert sizes == [2 * 4 * 32 * 4, 6 + 3, 0]  # documents, memory tokens, H, bytes of a float


def test_question_without_documents_is_refused_by_a_reader_of_memories(
    checkpoint: Callable[..., Path], questions: list[str]
) -> None:
    system = open_system(f"clara:{checkpoint('stage2')}", SHORT)
    with pytest.raises(DataError, match=r"question 0 has no documents.*closed-book"):
        system.answer(questions[:1], [[]])


def test_system_without_a_retriever_says_how_to_get_one(
    checkpoint: Callable[..., Path], questions: list[str]
) -> None:
    system = open_system(f"clara:{checkpoint('stage2')}", SHORT)
    with pytest.raises(ConfigError, match=r"does not retrieve.*bm25\+clara"):
        system.retrieve(questions, ["a"])
