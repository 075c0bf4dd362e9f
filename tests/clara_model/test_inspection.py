"""Looking inside agrees with what the model computes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from clara_model import Clara
from clara_model.encoding import encode_documents
from clara_model.errors import DataError
from clara_model.inspection import (
    inspect_question,
    logit_lens,
    map_representations,
    mean_states,
    principal_plane,
)
from clara_model.modeling.adapters import ENCODER

QUESTION = "Where was Ada Lark born?"


@pytest.mark.parametrize("tied", [True, False])
def test_lens_shows_the_likeliest_tokens_but_no_special_ones(
    tied: bool, tiny_clara: Callable[..., Clara], documents: list[str]
) -> None:
    model = tiny_clara(stage="stage2", tie_word_embeddings=tied)
    memory = model.compress_documents(documents[:2])
    lens = logit_lens(model, memory, top_tokens=3)
    model.embedding.write_back()  # the decoder's own head then has the memory tokens' rows
    with torch.no_grad():
        shares = model.decoder.get_output_embeddings()(memory).softmax(dim=-1)
    shares[..., model.tokenizer.all_special_ids] = 0.0
    values, ids = shares.topk(3)
    found = [[[token.probability for token in slot] for slot in own] for own in lens]
    assert torch.allclose(torch.tensor(found), values, atol=1e-6)
    words = [[[token.text for token in slot] for slot in own] for own in lens]
    assert words == [[[model.tokenizer.decode([i]) for i in s] for s in d] for d in ids.tolist()]


def test_scores_choice_and_answer_are_those_of_the_model(
    tiny_clara: Callable[..., Clara], documents: list[str]
) -> None:
    model = tiny_clara(stage="stage3")
    found = inspect_question(model, QUESTION, documents, max_new_tokens=5, paraphrases=1)
    answers, index = model.generate_from_questions([QUESTION], [documents], max_new_tokens=5)
    ranked = sorted(found.candidates, key=lambda candidate: candidate.rank)
    assert [c.text for c in ranked[:2]] == [documents[i] for i in index[0].tolist()]
    assert [c.chosen for c in ranked] == [True, True, False, False]
    assert [c.score for c in ranked] == sorted((c.score for c in ranked), reverse=True)
    assert found.answer == answers[0].strip()
    assert found.ranked_by == "query reasoner"
    written = model.generate_from_paraphrase([""], [[ranked[0].text]], max_new_tokens=5)[0]
    assert [c.paraphrase for c in ranked] == [written.strip(), None, None, None]
    assert len(found.question_lens) == model.config.num_memory_tokens


def test_before_stage_3_the_encoder_reads_the_question(
    tiny_clara: Callable[..., Clara], documents: list[str]
) -> None:
    model = tiny_clara(stage="stage1")
    found = inspect_question(model, QUESTION, documents[:1], max_new_tokens=3)
    query, memory = (model.compress_documents([text]).flatten(1) for text in
                     (QUESTION, documents[0]))  # fmt: skip
    assert found.ranked_by == "encoder"
    expected = float(torch.cosine_similarity(query, memory))
    assert found.candidates[0].score == pytest.approx(expected, abs=1e-5)


def test_means_are_those_that_the_mse_term_compares(
    tiny_clara: Callable[..., Clara], documents: list[str]
) -> None:
    model = tiny_clara(stage="stage1")
    own, memory = mean_states(model, documents)
    found = map_representations(model, documents)
    assert torch.allclose(memory, model.compress_documents(documents).mean(dim=1), atol=1e-5)
    terms = []
    for ids in encode_documents(documents, model.tokenizer, model.config):
        row = torch.tensor([ids])
        with torch.no_grad():
            terms.append(float(model.compress(row, torch.ones_like(row), ENCODER)[1]))
    assert found.mse == pytest.approx(sum(terms) / len(terms), rel=1e-4)
    centre = own.mean(dim=0)
    spread = (own - centre).square().sum(dim=1).mean().sqrt()
    assert found.gap == pytest.approx(float((memory.mean(dim=0) - centre).norm() / spread))


def test_plane_holds_the_two_widest_directions() -> None:
    east, north = torch.tensor([0.6, 0.8, 0.0]), torch.tensor([0.8, -0.6, 0.0])
    vectors = torch.stack([3 * east, -3 * east, north, -north]) + torch.tensor([5.0, 5.0, 5.0])
    points, explained = principal_plane(vectors)
    assert explained == pytest.approx((0.9, 0.1))
    assert sorted(abs(x) for x, _ in points) == pytest.approx([0, 0, 3, 3], abs=1e-5)
    assert sorted(abs(y) for _, y in points) == pytest.approx([0, 0, 1, 1], abs=1e-5)
    assert principal_plane(vectors) == (points, explained)


def test_plane_of_a_single_vector_is_a_point() -> None:
    points, explained = principal_plane(torch.tensor([[1.0, 2.0]]))
    assert points == [(0.0, 0.0)]
    assert explained == (0.0, 0.0)


def test_nothing_to_look_at_is_said(tiny_clara: Callable[..., Clara]) -> None:
    with pytest.raises(DataError, match="--documents"):
        inspect_question(tiny_clara(stage="stage1"), QUESTION, [])
    with pytest.raises(DataError, match="question is empty"):
        inspect_question(tiny_clara(stage="stage1"), " ", ["text"])
