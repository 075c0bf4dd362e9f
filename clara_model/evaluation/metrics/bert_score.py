"""BERTScore: how well two texts' tokens match by meaning. Optional, for it needs a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

# Zhang et al. chose layers by correlation with human judgement; 17 is theirs for this model.
MODEL, LAYER = "FacebookAI/roberta-large", 17


class BertScore(NamedTuple):
    """Precision, recall and F1 of greedy matches by cosine; not rescaled."""

    f1: float
    precision: float
    recall: float


def bert_scores(
    predictions: Sequence[str],
    originals: Sequence[str],
    *,
    model: str = MODEL,
    layer: int = LAYER,
    batch_size: int = 16,
    device: str = "cpu",
) -> list[BertScore]:
    """BERTScore of each prediction against its original, without idf weights or rescaling.

    Args:
        predictions: Texts to score; an empty one scores 0.
        originals: As many.
        model: Folder or hub id of an encoder; another needs its own `layer`.
        layer: Hidden layer whose vectors are compared; 0 are the embeddings.
        batch_size: Texts a forward pass.
        device: Where it runs.

    Raises:
        ValueError: If the lists differ in length, or the model has no such layer.

    Source:
        Zhang et al., BERTScore, ICLR 2020, arXiv 1904.09675, section 3.
    """
    if len(predictions) != len(originals):
        raise ValueError(f"{len(predictions)} predictions but {len(originals)} originals")
    from transformers import AutoModel, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    encoder: Any = AutoModel.from_pretrained(model).to(device).eval()
    if not 0 <= layer <= encoder.config.num_hidden_layers:
        raise ValueError(f"{model} has no layer {layer}, only {encoder.config.num_hidden_layers}")
    texts = sorted(dict.fromkeys([*predictions, *originals]), key=len)
    vectors: dict[str, Tensor] = {}
    for start in range(0, len(texts), batch_size):
        batch = texts[start : start + batch_size]
        vectors.update(zip(batch, _embed(batch, tokenizer, encoder, layer), strict=True))
    return [_match(vectors[p], vectors[o]) for p, o in zip(predictions, originals, strict=True)]


def _embed(texts: list[str], tokenizer: Any, encoder: Any, layer: int) -> list[Tensor]:
    """Unit vectors of each text's own tokens, shape (T, H); special tokens are left out."""
    import torch

    limit = min(tokenizer.model_max_length, encoder.config.max_position_embeddings - 2)
    batch = tokenizer(
        texts,
        padding=True,
        truncation=True,
        max_length=limit,
        return_tensors="pt",
        return_special_tokens_mask=True,
    )
    own = batch.pop("special_tokens_mask") == 0
    with torch.inference_mode():
        output = encoder(**batch.to(encoder.device), output_hidden_states=True)
    hidden = torch.nn.functional.normalize(output.hidden_states[layer].float().cpu(), dim=-1)
    return [rows[mask] for rows, mask in zip(hidden, own, strict=True)]


def _match(prediction: Tensor, original: Tensor) -> BertScore:
    if not len(prediction) or not len(original):
        return BertScore(0.0, 0.0, 0.0)
    cosines = prediction @ original.T  # (T prediction, T original)
    precision = float(cosines.max(dim=1).values.mean())
    recall = float(cosines.max(dim=0).values.mean())
    total = precision + recall
    return BertScore(2 * precision * recall / total if total else 0.0, precision, recall)
