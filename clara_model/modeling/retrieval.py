"""How near a question is to a document."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cosine_scores(query: Tensor, documents: Tensor) -> Tensor:
    """Cosine of (B, n * H) and (B, N, n * H), in float32: (B, N)."""
    return F.cosine_similarity(query.float().unsqueeze(1), documents.float(), dim=-1)
