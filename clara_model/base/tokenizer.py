"""The built-in decoder's tokenizer: byte-level BPE, so that no text of any language is unknown.

Its first merges come from the words of the made-up world and of the stages' prompts, each of which
becomes one token; the user's own texts then continue the training and fill the vocabulary.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from clara_model import prompts, world

log = logging.getLogger(__name__)

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
SPECIAL_TOKENS = [PAD, BOS, EOS, "<|system|>", "<|user|>", "<|assistant|>"]

# The space before the answer makes its first word the very token it is inside a document, so that
# a small decoder only has to copy it.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'assistant' %}{{ '<|assistant|> ' + m['content'] + eos_token }}"
    "{% else %}{{ '<|' + m['role'] + '|>' + m['content'] }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

Merge = tuple[str, str]

# Tokens stand as single letters while training is continued; no text uses this Unicode plane.
_FIRST_LETTER = 0xF0000


def train_tokenizer(
    user_texts: Iterable[str], folder: Path, *, vocab_size: int = 4096, extended: bool = False
) -> None:
    """Train the tokenizer and save it in Hugging Face's form.

    Nothing is drawn: the same texts in the same order give the same files.

    Args:
        user_texts: The user's own texts, read once; may be empty.
        folder: Where `tokenizer.json`, `tokenizer_config.json` and the chat template go.
        vocab_size: Most tokens, special tokens included. Little text gives fewer.
        extended: Whether the words of two-hop questions and descriptions are single tokens too.
    """
    own = _train_merges(Counter(_pieces(_own_texts(extended))), vocab_size)
    known = _vocabulary(own)
    user = _continue_merges(known, own, Counter(_pieces(user_texts)), vocab_size - len(known))
    merges = own + user
    tokenizer = Tokenizer(models.BPE(_vocabulary(merges), merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    _save(tokenizer, folder)
    log.info("tokenizer of %d tokens in %s", tokenizer.get_vocab_size(), folder)


def _own_texts(extended: bool) -> Iterator[str]:
    """The words of the world, with and without a space before them, and the stages' prompts."""
    for word in world.extended_vocabulary() if extended else world.vocabulary():
        yield word
        yield f" {word}"
    for turn in (
        prompts.list_qa_turn(""),
        prompts.answer_turn("", ""),
        *(prompts.paraphrase_turn("", text) for text in prompts.PARAPHRASE_INSTRUCTIONS),
    ):
        yield turn.system
        yield turn.user
    yield f" {prompts.question_line('')}"


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """Cut texts where no token may reach across: words, numbers, spaces, punctuation."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in texts:
        for piece, _ in byte_level.pre_tokenize_str(text):
            yield piece


def _train_merges(pieces: Counter[str], vocab_size: int) -> list[Merge]:
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return _trained(pieces, trainer)


def _continue_merges(
    known: dict[str, int], merges: list[Merge], pieces: Counter[str], room: int
) -> list[Merge]:
    """Merges that go on where `merges` end: its tokens are the letters of a second training."""
    if room <= 0 or not pieces:
        return []
    first = models.BPE(known, merges)
    letter = {token: chr(_FIRST_LETTER + i) for token, i in known.items()}
    respelt = Counter[str]()
    for piece, count in pieces.items():
        respelt["".join(letter[token.value] for token in first.tokenize(piece))] += count
    trainer = trainers.BpeTrainer(
        # The letters that occur take places of this vocabulary, but none of the final one.
        vocab_size=len(set("".join(respelt))) + room,
        min_frequency=2,
        show_progress=False,
    )
    spell = {ord(char): token for token, char in letter.items()}
    return [(a.translate(spell), b.translate(spell)) for a, b in _trained(respelt, trainer)]


def _trained(pieces: Counter[str], trainer: trainers.BpeTrainer) -> list[Merge]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator((" ".join([p] * n) for p, n in pieces.items()), trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(first, second) for first, second in merges]


def _vocabulary(merges: list[Merge]) -> dict[str, int]:
    """Ids: special tokens, then the bytes, then one token a merge."""
    tokens = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokens += [first + second for first, second in merges]
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}


def _save(tokenizer: Tokenizer, folder: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
