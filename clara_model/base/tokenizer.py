"""The built-in decoder's tokenizer: byte-level BPE, so that no text of any language is unknown.

Its first merges come from the words of the made-up world and of the stages' prompts, each of which
becomes one token; the user's own texts then continue the training and fill the vocabulary.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from clara_model import world
from clara_model.base import reading as prompts

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

# Where the private characters start that stand for tokens while training is continued.
_PRIVATE = 0xF0000


def train_tokenizer(user_texts: Iterable[str], folder: Path, *, vocab_size: int = 4096) -> None:
    """Train the tokenizer and save it as a Hugging Face tokenizer folder. Nothing is drawn.

    Args:
        user_texts: The user's own texts; may be empty. Read once, as a stream.
        folder: Where the files go; it appears as a whole, replacing what stood there.
        vocab_size: Most tokens, special tokens included. Fewer come out of little text.
    """
    own = _train_merges(Counter(_pieces(_own_texts())), vocab_size)
    byte_level = Tokenizer(models.BPE(*_vocabulary(own)))
    room = vocab_size - len(_vocabulary(own)[0])
    user = _continue_merges(byte_level, Counter(_pieces(user_texts)), room)
    vocabulary, merges = _vocabulary(own + user)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    _save(tokenizer, folder)
    log.info("tokenizer of %d tokens in %s", len(vocabulary), folder)


def _own_texts() -> Iterable[str]:
    """The words of the world with and without a space before them, and the prompts as they are."""
    for word in world.vocabulary():
        yield word
        yield f" {word}"
    yield from prompts.ALL_TEXTS
    yield "Question: Answer: Background:\n\n\nQuestion:\n . ?"


def _pieces(texts: Iterable[str]) -> Iterable[str]:
    """Cut texts where no token may reach across: into words, numbers, spaces, punctuation."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in texts:
        for piece, _ in byte_level.pre_tokenize_str(text):
            yield piece


def _train_merges(pieces: Counter[str], vocab_size: int) -> list[Merge]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((" ".join([p] * n) for p, n in pieces.items()), trainer)
    return _merges_of(tokenizer)


def _continue_merges(start: Tokenizer, pieces: Counter[str], room: int) -> list[Merge]:
    """Merges that go on from a trained tokenizer: its tokens are the alphabet of a new training."""
    if room <= 0 or not pieces:
        return []
    name = {token: chr(_PRIVATE + i) for token, i in start.get_vocab().items()}
    token = {char: word for word, char in name.items()}
    renamed = Counter[str]()
    for piece, count in pieces.items():
        renamed["".join(name[t.value] for t in start.model.tokenize(piece))] += count
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        # An unused token needs no place: the alphabet is only what occurs, and `room` is for merges.
        vocab_size=len(set("".join(renamed))) + room,
        show_progress=False,
        min_frequency=2,
    )
    tokenizer.train_from_iterator((" ".join([p] * n) for p, n in renamed.items()), trainer)
    spell = str.maketrans(token)
    return [(a.translate(spell), b.translate(spell)) for a, b in _merges_of(tokenizer)]


def _merges_of(tokenizer: Tokenizer) -> list[Merge]:
    import json

    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(first, second) for first, second in merges]


def _vocabulary(merges: list[Merge]) -> tuple[dict[str, int], list[Merge]]:
    """Ids: special tokens first, then the bytes, then one token a merge."""
    tokens = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokens += [first + second for first, second in merges]
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}, merges


def _save(tokenizer: Tokenizer, folder: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="left",
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
