"""From texts to token ids: special tokens, documents, questions, prompts with answers.

Shared by training and inference, so that both see the same tokens. Nothing here imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from clara_model.config import ClaraConfig
from clara_model.errors import ConfigError, DataError
from clara_model.prompts import Turn, escape, render_pair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label that torch's cross entropy leaves out

AE_TOKEN, ENC_TOKEN, SEP_TOKEN = "<AE>", "<ENC>", "<SEP>"
# ENC, BOS and EOS do not count as document tokens.
FRAME_TOKENS = 3


class Example(NamedTuple):
    """Token ids of prompt and answer, and their labels (`IGNORED` on the prompt)."""

    input_ids: list[int]
    labels: list[int]


def memory_tokens(config: ClaraConfig) -> list[str]:
    """The n memory tokens of a document, in order."""
    if config.different_mem_tokens:
        return [f"<MEM{i}>" for i in range(config.num_memory_tokens)]
    return ["<MEM>"] * config.num_memory_tokens


def slots(config: ClaraConfig, num_documents: int) -> str:
    """Where the documents' memories stand in a prompt."""
    return ("".join(memory_tokens(config)) + SEP_TOKEN * config.sep) * num_documents


def load_tokenizer(
    base_model: str, config: ClaraConfig, *, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """The base model's tokenizer with CLaRa's tokens, padding on the left.

    Args:
        base_model: A folder or a hub id.
        config: Says which memory tokens there are.
        trust_remote_code: Whether code that comes with the tokenizer may run.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_model, trust_remote_code=trust_remote_code)
    extend_tokenizer(tokenizer, config)
    return tokenizer


def extend_tokenizer(tokenizer: PreTrainedTokenizerBase, config: ClaraConfig) -> None:
    """Add the memory tokens, then AE, ENC and SEP; pad on the left, with BOS where need be.

    Raises:
        ConfigError: If there is nothing to pad with, or the tokenizer has some of these tokens
            already, in another order.
    """
    # The order decides the ids, and with them the rows of a released embedding.
    added = [*dict.fromkeys(memory_tokens(config)), AE_TOKEN, ENC_TOKEN, SEP_TOKEN]
    tokenizer.add_tokens(added, special_tokens=True)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.bos_token or tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise ConfigError(
            f"the tokenizer of {tokenizer.name_or_path} has neither pad, BOS nor EOS token; name "
            "one in its tokenizer_config.json"
        )
    vocabulary = tokenizer.get_vocab()
    ids = [vocabulary[token] for token in dict.fromkeys(memory_tokens(config))]
    if ids != list(range(ids[0], ids[0] + len(ids))):
        raise ConfigError(
            f"the tokenizer of {tokenizer.name_or_path} has memory tokens of another model; take "
            "the base model's own tokenizer"
        )


def encode_documents(
    texts: list[str], tokenizer: PreTrainedTokenizerBase, config: ClaraConfig
) -> list[list[int]]:
    """Token ids that the compressor (or, for questions, the query reasoner) reads.

    Returns:
        For each text: ENC, BOS, its tokens, EOS, cut to L + 3, then n memory tokens.

    Raises:
        DataError: If a text is empty.
    """
    for i, text in enumerate(texts):
        if not text.strip():
            raise DataError(f"text {i} of {len(texts)} is empty; leave it out before encoding")
    if not texts:
        return []
    framed = [
        f"{ENC_TOKEN}{tokenizer.bos_token or ''}{escape(text)}{tokenizer.eos_token or ''}"
        for text in texts
    ]
    memory = tokenizer.convert_tokens_to_ids(memory_tokens(config))
    limit = config.doc_max_length + FRAME_TOKENS
    encoded = tokenizer(framed, add_special_tokens=False)["input_ids"]
    return [ids[:limit] + memory for ids in encoded]


def encode_prompt(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of a rendered prompt, which brings its own special tokens."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def encode_example(turn: Turn, answer: str, tokenizer: PreTrainedTokenizerBase) -> Example:
    """Token ids and labels of a prompt with its answer.

    Raises:
        DataError: If no token of the answer is left to learn from, or the chat template does not
            keep prompt and answer apart.
    """
    prompt, added = render_pair(tokenizer, turn, escape(answer))
    prompt_ids = encode_prompt(prompt, tokenizer)
    ids = encode_prompt(prompt + added, tokenizer)
    if ids[: len(prompt_ids)] != prompt_ids:
        # A token spans the border. Generation starts from the prompt's tokens, so training does.
        ids = prompt_ids + encode_prompt(added, tokenizer)
    labels = [IGNORED] * len(prompt_ids) + ids[len(prompt_ids) :]
    if len(ids) == len(prompt_ids):
        raise DataError("an example without a labelled token has no loss; give it an answer")
    return Example(ids, labels)
