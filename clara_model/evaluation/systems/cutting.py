"""How much of a document a compressor reads: what exceeds `doc_max_length` is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clara_model.config import ClaraConfig
from clara_model.encoding import encode_documents
from clara_model.prompts import escape

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def characters_read(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, config: ClaraConfig
) -> list[int | None]:
    """Characters of each text that are read; None for one that is read whole.

    Of texts that hold one of CLaRa's own tokens the count is off by the spaces that escaping adds.
    """
    if not texts:
        return []
    found: list[int | None] = []
    encoded = encode_documents(list(texts), tokenizer, config)
    lengths = tokenizer([escape(text) for text in texts], add_special_tokens=False)["input_ids"]
    for text, ids, own in zip(texts, encoded, lengths, strict=True):
        # ENC, and BOS where there is one, stand in front; EOS was cut off with the rest.
        front = 1 + (tokenizer.bos_token is not None)
        kept = len(ids) - config.num_memory_tokens - front
        if len(own) <= kept:
            found.append(None)
            continue
        words = tokenizer.decode(own[:kept], skip_special_tokens=False)
        found.append(min(len(str(words)), len(text)))
    return found
