"""Compressing, retrieving and answering, as a user calls them."""

import pytest
import torch

from clara_model.errors import CheckpointError, DataError

QUESTIONS = ["Where is Heron Mills?", "Who is Tom Ash?"]


def state(model) -> tuple:
    return (
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        model.adapters.active,
        model.config.generation_top_k,
    )


def test_compressing_does_not_depend_on_batches_or_order(tiny_clara, documents) -> None:
    model = tiny_clara()
    together = model.compress_documents(documents)
    alone = torch.cat([model.compress_documents([text]) for text in documents])
    backwards = model.compress_documents(documents[::-1], batch_size=3).flip(0)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together, backwards, rtol=1e-4, atol=1e-5)
    assert not together.requires_grad


def test_every_call_leaves_the_model_as_it_was(tiny_clara, documents) -> None:
    model = tiny_clara(stage="stage3")
    model.train()
    model.decoder.get_input_embeddings().eval()  # a mode of its own
    before = state(model)
    memory = model.compress_documents(documents)
    model.represent_queries(QUESTIONS)
    model.generate_from_questions(QUESTIONS, [documents] * 2, 3)
    model.generate_from_text(QUESTIONS, [documents] * 2, 3)
    model.generate_from_paraphrase(["", ""], [documents] * 2, 3)
    model.generate_from_memory(QUESTIONS, memory.expand(2, -1, -1, -1), 3)
    model.answer_stage1(QUESTIONS, memory[:2].unsqueeze(1), 3)
    model.answer_from_full_text(QUESTIONS, [documents, []], 3)
    assert state(model) == before


def test_failed_generation_leaves_the_model_as_it_was(tiny_clara, documents) -> None:
    model = tiny_clara()
    model.train()
    before = state(model)
    with pytest.raises(DataError, match="memory positions"):
        model._generate(["no slot"], [model.compress_documents(documents)], 3, 4)
    assert state(model) == before


def test_questions_may_have_different_numbers_of_documents(tiny_clara, documents) -> None:
    model = tiny_clara(stage="stage3")
    apart = [
        model.generate_from_questions([q], [d], 4)
        for q, d in zip(QUESTIONS, [documents, documents[:2]], strict=True)
    ]
    answers, index = model.generate_from_questions(QUESTIONS, [documents, documents[:2]], 4)
    assert answers == [a[0] for a, _ in apart]
    assert torch.equal(index, torch.cat([i for _, i in apart]))
    assert len(model.generate_from_text(QUESTIONS, [documents, documents[:1]], 4)) == 2


def test_retrieval_ranks_by_cosine(tiny_clara, documents) -> None:
    model = tiny_clara(stage="stage3", generation_top_k=4)
    memory = model.compress_documents(documents)
    queries = model.represent_queries(QUESTIONS)
    _, index = model.generate_from_questions(QUESTIONS, [documents] * 2, 1)
    cosine = (
        torch.nn.functional.normalize(queries, dim=1)
        @ torch.nn.functional.normalize(memory.flatten(1), dim=1).T
    )
    assert torch.equal(index, cosine.argsort(dim=1, descending=True))


def test_full_text_answer_uses_no_adapter(tiny_clara, documents) -> None:
    model = tiny_clara()
    answers = model.answer_from_full_text(QUESTIONS, [documents, []], 6)
    for name in model.adapters.names:
        model.reset_adapter(name)
    assert model.answer_from_full_text(QUESTIONS, [documents, []], 6) == answers


def test_stage1_answer_ends_with_its_line(tiny_clara, documents, monkeypatch) -> None:
    model = tiny_clara()
    memory = model.compress_documents(documents[:2]).unsqueeze(1)
    newline = model.tokenizer("\n", add_special_tokens=False)["input_ids"][-1]
    kelso = model.tokenizer(" Kelso", add_special_tokens=False)["input_ids"]
    script = iter([*kelso, newline, *kelso])

    def scripted(hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(hidden), len(model.tokenizer))
        logits[:, next(script)] = 1.0
        return logits

    monkeypatch.setattr(model.embedding, "logits", scripted)
    assert model.answer_stage1(QUESTIONS, memory, 20) == ["Kelso", "Kelso"]
    assert list(script) == kelso  # nothing was generated beyond the line


def test_generation_stops_at_the_bases_end_token(tiny_clara, documents, monkeypatch) -> None:
    model = tiny_clara()
    memory = model.compress_documents(documents[:1]).unsqueeze(0)
    script = iter([260, 2, 261, 262])

    def scripted(hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(hidden), len(model.tokenizer))
        logits[:, next(script)] = 1.0
        return logits

    monkeypatch.setattr(model.embedding, "logits", scripted)
    (answer,) = model.generate_from_memory(["Where?"], memory, 20)
    assert answer == model.tokenizer.decode([260])
    assert list(script) == [261, 262]


def test_bad_requests_say_what_to_do(tiny_clara, documents) -> None:
    model = tiny_clara()
    memory = model.compress_documents(documents)
    with pytest.raises(DataError, match="2 questions but 1 entries of documents"):
        model.generate_from_text(QUESTIONS, [documents])
    with pytest.raises(DataError, match="question 1 has no documents"):
        model.generate_from_text(QUESTIONS, [documents, []])
    with pytest.raises(DataError, match="documents of question 0 are one text"):
        model.generate_from_text(QUESTIONS, documents[:2])
    with pytest.raises(DataError, match="a list of questions, not one text"):
        model.generate_from_text(QUESTIONS[0], [documents])
    with pytest.raises(DataError, match="a list of texts, not one text"):
        model.compress_documents(documents[0])
    with pytest.raises(DataError, match="text 1 of 2 is empty"):
        model.compress_documents(["Kelso", ""])
    with pytest.raises(DataError, match="list of texts is empty"):
        model.compress_documents([])
    with pytest.raises(DataError, match=r"expected \(questions, documents, 4, hidden size"):
        model.generate_from_memory(QUESTIONS, memory[:2])
    with pytest.raises(CheckpointError, match="no query_reasoner_adapter"):
        model.generate_from_questions(QUESTIONS, [documents] * 2)
    model.prepare_stage("stage3")
    with pytest.raises(DataError, match="a question has only 1 documents"):
        model.generate_from_questions(QUESTIONS, [documents, documents[:1]])
