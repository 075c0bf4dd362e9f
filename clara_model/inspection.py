"""Looking inside a model: what memories say, which candidates are near, where documents lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clara_model.batches import pad_ids
from clara_model.encoding import encode_documents
from clara_model.errors import DataError
from clara_model.evaluation.systems.interface import rank
from clara_model.losses import masked_mean
from clara_model.modeling.adapters import ENCODER, QUERY_REASONER
from clara_model.modeling.clara import Clara
from clara_model.modeling.retrieval import cosine_scores

_BATCH = 16


@dataclass(frozen=True)
class LensToken:
    """A token that a memory vector stands near, and its probability under the output embedding."""

    text: str
    probability: float


# For each memory slot its likeliest tokens.
Lens = tuple[tuple[LensToken, ...], ...]


@dataclass(frozen=True)
class Candidate:
    """A document as the model sees it.

    Args:
        text: The document.
        score: Cosine of question and memory.
        rank: 1 for the best.
        chosen: Whether the generator reads it.
        lens: The logit lens of its memory.
        paraphrase: What the model writes when asked to paraphrase the memory; None where not asked.
    """

    text: str
    score: float
    rank: int
    chosen: bool
    lens: Lens
    paraphrase: str | None


@dataclass(frozen=True)
class RepresentationMap:
    """Documents and their memories in two dimensions.

    Args:
        documents: (x, y) of the mean hidden state over each document's own tokens.
        memories: (x, y) of the mean over its memory tokens.
        explained: Share of the variance along each axis.
        mse: The MSE term: mean squared difference of the two, over documents.
        gap: Distance between the centres of documents and memories, in units of the documents' root
            mean square distance from their centre.
        mse_weight: Weight of the MSE term that the checkpoint states.
    """

    documents: tuple[tuple[float, float], ...]
    memories: tuple[tuple[float, float], ...]
    explained: tuple[float, float]
    mse: float
    gap: float
    mse_weight: float


@dataclass(frozen=True)
class Inspection:
    """What a model makes of a question and its candidates.

    Args:
        question: The question.
        answer: From the chosen candidates' memories.
        ranked_by: "query reasoner", or "encoder" where the model has no query reasoner.
        question_lens: The logit lens of the question's representation.
        candidates: In the order in which they were given.
        map: Of the candidates.
    """

    question: str
    answer: str
    ranked_by: str
    question_lens: Lens
    candidates: tuple[Candidate, ...]
    map: RepresentationMap


def inspect_question(
    model: Clara,
    question: str,
    documents: Sequence[str],
    *,
    top_tokens: int = 5,
    paraphrases: int = 3,
    max_new_tokens: int = 128,
) -> Inspection:
    """Look at a question and its candidates.

    Args:
        model: Of any stage.
        question: The question.
        documents: The candidates.
        top_tokens: Tokens shown of each memory slot.
        paraphrases: Of how many candidates, best first, the paraphrase is written anew.
        max_new_tokens: Length limit of answer and paraphrases.

    Raises:
        DataError: If the question is empty, or there is no document.
    """
    if not question.strip():
        raise DataError("the question is empty; ask something")
    if not documents:
        raise DataError("there is no document to look at; give some with --documents")
    texts = list(dict.fromkeys(documents))
    memory = model.compress_documents(texts, _BATCH)
    query, ranked_by = represent_question(model, question)
    scores = cosine_scores(query.flatten().unsqueeze(0), memory.flatten(1).unsqueeze(0))[0].tolist()
    order = rank(scores)
    k = min(model.config.generation_top_k, len(texts))
    answer = model.answer_stage1 if model.config.stage == "stage1" else model.generate_from_memory
    written = _paraphrases(model, [texts[i] for i in order[:paraphrases]], max_new_tokens)
    lenses = logit_lens(model, memory, top_tokens)
    candidates = [
        Candidate(text, scores[i], order.index(i) + 1, i in order[:k], lenses[i], written.get(text))
        for i, text in enumerate(texts)
    ]
    return Inspection(
        question=question,
        answer=answer([question], memory[order[:k]].unsqueeze(0), max_new_tokens)[0].strip(),
        ranked_by=ranked_by,
        question_lens=logit_lens(model, query.unsqueeze(0), top_tokens)[0],
        candidates=tuple(candidates),
        map=map_representations(model, texts),
    )


@torch.no_grad()
def represent_question(model: Clara, question: str) -> tuple[Tensor, str]:
    """A question's representation (n, H), and what made it.

    Before stage 3 there is no query reasoner; its starting point, the encoder, stands in for it.
    """
    if QUERY_REASONER in model.adapters.names:
        query = model.represent_queries([question])[0]
        return query.view(model.config.num_memory_tokens, -1), "query reasoner"
    return model.compress_documents([question])[0], "encoder"


@torch.no_grad()
def logit_lens(model: Clara, memory: Tensor, top_tokens: int = 5) -> list[Lens]:
    """Likeliest tokens of memory vectors under the output embedding.

    Memory vectors are last hidden states behind the final norm, so the output embedding reads them
    as it reads any position. Special tokens are left out, the probabilities are over all tokens.

    Args:
        model: Whose output embedding.
        memory: (documents, n, H).
        top_tokens: Tokens a slot.

    Source:
        The logit lens (nostalgebraist, 2020), as arXiv 2511.18659 applies it to query
        representations.
    """
    hidden = memory.to(model.device).to(model.embedding.weight.dtype)
    probabilities = model.embedding.logits(hidden).float().softmax(dim=-1)  # (documents, n, V)
    special = [i for i in model.tokenizer.all_special_ids if i < probabilities.shape[-1]]
    special += list(range(model.embedding.first, model.embedding.end))
    probabilities[..., torch.tensor(special, device=probabilities.device)] = -1.0
    values, ids = probabilities.topk(top_tokens, dim=-1)
    return [
        tuple(
            tuple(
                LensToken(str(model.tokenizer.decode([token])), value)
                for token, value in zip(tokens, shares, strict=True)
            )
            for tokens, shares in zip(slot_ids, slot_values, strict=True)
        )
        for slot_ids, slot_values in zip(ids.tolist(), values.tolist(), strict=True)
    ]


@torch.no_grad()
def mean_states(model: Clara, documents: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Means over each document's own positions, and over its memory positions: (documents, H) each.

    The two that the MSE term compares.
    """
    encoded = encode_documents(list(documents), model.tokenizer, model.config)
    of_documents, of_memories = [], []
    with model.evaluating(), model.adapters.using(ENCODER):
        for start in range(0, len(encoded), _BATCH):
            batch = pad_ids(encoded[start : start + _BATCH], model.tokenizer, "enc")
            ids = batch["enc_input_ids"].to(model.device)
            mask = batch["enc_attention_mask"].to(model.device)
            hidden = model.hidden_states(model.embedding(ids), mask)
            is_memory = model.embedding.is_memory(ids)
            of_documents.append(masked_mean(hidden, mask.bool() & ~is_memory).cpu())
            of_memories.append(masked_mean(hidden, is_memory).cpu())
    return torch.cat(of_documents), torch.cat(of_memories)


def map_representations(model: Clara, documents: Sequence[str]) -> RepresentationMap:
    """Documents and memories along the two directions in which they differ most."""
    own, memory = mean_states(model, documents)
    points, explained = principal_plane(torch.cat([own, memory]))
    centre = own.mean(dim=0)
    scatter = (own - centre).square().sum(dim=1).mean().sqrt()
    distance = (memory.mean(dim=0) - centre).norm()
    return RepresentationMap(
        documents=tuple(points[: len(own)]),
        memories=tuple(points[len(own) :]),
        explained=explained,
        mse=float((memory - own).square().mean()),
        gap=float(distance / scatter) if scatter > 0 else float("inf"),
        mse_weight=model.config.mse_weight,
    )


def principal_plane(
    vectors: Tensor,
) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """Principal components of vectors (N, H): their first two coordinates, and shares of variance.

    The sign of an axis is free; the coordinate farthest from zero is made positive.
    """
    centred = (vectors - vectors.mean(dim=0)).double()
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    axes = left * values
    axes = torch.nn.functional.pad(axes, (0, max(0, 2 - axes.shape[1])))[:, :2]  # (N, 2)
    farthest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    axes = axes * torch.where(farthest < 0, -1.0, 1.0)
    variance = torch.nn.functional.pad(values.square(), (0, 2))
    total = float(variance.sum()) or 1.0
    points = [(float(x), float(y)) for x, y in axes.tolist()]
    return points, (float(variance[0]) / total, float(variance[1]) / total)


def _paraphrases(model: Clara, texts: list[str], max_new_tokens: int) -> dict[str, str]:
    if not texts:
        return {}
    found = model.generate_from_paraphrase(
        ["" for _ in texts], [[text] for text in texts], max_new_tokens
    )
    return {text: words.strip() for text, words in zip(texts, found, strict=True)}
