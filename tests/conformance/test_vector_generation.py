"""Generated text is exact, and generating leaves no trace."""

import torch


def test_from_questions(case) -> None:
    facts = case.facts["generate_from_questions"]
    answers, index = case.stage3.generate_from_questions(
        facts["questions"], facts["documents"], facts["max_new_tokens"]
    )
    assert answers == facts["answers"]
    assert index.tolist() == facts["topk_idx"]


def test_from_text(case) -> None:
    facts = case.facts["generate_from_text"]
    model = case.before_stage3
    model.train()
    flags = [parameter.requires_grad for parameter in model.parameters()]
    top_k = model.config.generation_top_k
    answers = model.generate_from_text(
        facts["questions"], facts["documents"], facts["max_new_tokens"]
    )
    assert answers == facts["answers"]
    assert all(module.training for module in model.modules())
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert model.config.generation_top_k == top_k
    assert model.adapters.active is None
    model.eval()


def test_from_memory_equals_from_text(case) -> None:
    facts = case.facts["generate_from_text"]
    model = case.before_stage3
    memory = torch.stack([model.compress_documents(texts) for texts in facts["documents"]])
    answers = model.generate_from_memory(facts["questions"], memory, facts["max_new_tokens"])
    assert answers == facts["answers"]


def test_one_by_one_equals_together(case) -> None:
    facts = case.facts["generate_from_text"]
    answers = case.before_stage3.generate_from_text(
        facts["questions"], facts["documents"], facts["max_new_tokens"], batch_size=1
    )
    assert answers == facts["answers"]


def test_paraphrase_and_full_text_run(case) -> None:
    facts = case.facts["generate_from_text"]
    model = case.before_stage3
    questions, documents = facts["questions"], facts["documents"]
    count = len(questions)
    assert len(model.generate_from_paraphrase([""] * count, documents, 4)) == count
    assert len(model.answer_from_full_text(questions, documents, 4)) == count
    assert len(model.answer_from_full_text(questions, [[]] * count, 4)) == count
