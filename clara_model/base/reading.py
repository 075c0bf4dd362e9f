"""The texts that the built-in decoder is pretrained on, as token ids with a weight for each.

A decoder this small learns to read only if it is led there: first it copies words, then it answers
about documents of one fact, then of all facts, in the very prompts that the stages use. The weight
lies on the answers, for they are a few tokens among many that are easy or cannot be known.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from clara_model import prompts, world
from clara_model.base.settings import BuiltInSettings

Encode = Callable[[str], list[int]]

ANSWER_WEIGHT = 8.0
QUESTION_WEIGHT = 0.3
DOCUMENT_WEIGHT = 0.02
PLAIN_WEIGHT = 0.3
COPY_WEIGHT = 1.0

# Of the texts of the world: lists of questions (stage 1; five answers for the price of about one
# and a half), single questions (stages 2 and 3) and records; the rest are paraphrases.
LIST_SHARE, SINGLE_SHARE, RECORD_SHARE = 0.65, 0.12, 0.20
# Chance that a question gives a code, so that the decoder learns what codes stand for.
CODE_SHARE = 0.3
PLAIN_TOKENS = 96


@dataclass(slots=True)
class Text:
    """Token ids, and how much each counts as something to predict (0: not at all)."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, ids: list[int], weight: float) -> None:
        """Append tokens of one weight."""
        self.ids += ids
        self.weights += [weight] * len(ids)


class Reader:
    """Draws the texts of a pretraining step; the draw depends on the seed and the step alone.

    Args:
        settings: Says how many steps copy and how many are short.
        encode: Text to token ids, special tokens recognised.
        user_ids: The user's texts, encoded.
        world_share: Share of the texts that tell of the made-up world.
    """

    def __init__(
        self,
        settings: BuiltInSettings,
        encode: Encode,
        user_ids: list[list[int]],
        world_share: float,
    ) -> None:
        self.settings = settings
        self.encode = encode
        self.user_ids = [ids for ids in user_ids if len(ids) > 1]
        self.world_share = world_share if self.user_ids else 1.0
        self.words = [encode(f" {word}") for word in world.vocabulary()]

    def batch(self, step: int) -> list[Text]:
        """The texts of one step."""
        rng = random.Random(f"reading/{self.settings.seed}/{step}")
        # Plain text waits until reading is learnt: mixed in before, it delays that by far.
        share = self.world_share if step >= self.settings.short_steps else 1.0
        draws = [rng.random() < share for _ in range(self.settings.batch_size)]
        texts = [self._world(rng, step) for is_world in draws if is_world]
        # As long as its neighbours: padding would cost more than the words it makes room for.
        width = max((len(text.ids) for text in texts), default=PLAIN_TOKENS)
        return texts + [self._plain(rng, width) for is_world in draws if not is_world]

    def _world(self, rng: random.Random, step: int) -> Text:
        if step < self.settings.copy_steps and rng.random() < 0.5:
            return self._copy(rng)
        entity = world.draw_entity(rng, "train")
        short = step < self.settings.short_steps
        if short:
            most = 1 + step * len(entity.facts) // self.settings.short_steps
            kept = sorted(rng.sample(range(len(entity.facts)), rng.randint(1, most)))
            entity = replace(entity, facts=tuple(entity.facts[i] for i in kept))
        chance = rng.random()
        if chance < LIST_SHARE:
            return self._list(entity, rng, with_system=not short)
        if chance < LIST_SHARE + SINGLE_SHARE:
            return self._single(entity, rng, with_system=not short)
        if chance < LIST_SHARE + SINGLE_SHARE + RECORD_SHARE:
            return self._record(entity, rng)
        return self._paraphrase(entity, rng, with_system=not short)

    def _plain(self, rng: random.Random, width: int) -> Text:
        """A piece of a user's text, chosen by length so that every token has the same chance."""
        ids = rng.choices(self.user_ids, weights=[len(i) for i in self.user_ids])[0]
        start = rng.randrange(max(1, len(ids) - width + 2))
        text = Text()
        text.add(self.encode("<s>"), 0.0)
        text.add(ids[start : start + width - 1], PLAIN_WEIGHT)
        return text

    def _copy(self, rng: random.Random) -> Text:
        words = [i for word in rng.choices(self.words, k=rng.randint(4, 16)) for i in word]
        text = Text()
        text.add([*self.encode("<s><|user|>"), *words, *self.encode("<|assistant|>")], 0.0)
        text.add([*words, *self.encode("</s>")], COPY_WEIGHT)
        return text

    def _list(self, entity: world.Entity, rng: random.Random, with_system: bool) -> Text:
        text = self._prompt(prompts.list_qa_turn(entity.document(rng)), with_system)
        if rng.random() < world.COMPLEX_SHARE:
            pairs = [entity.complex_question(rng)]
        else:
            pairs = entity.questions(rng, code_share=CODE_SHARE)
        for i, (question, answer) in enumerate(pairs):
            line = prompts.question_line(question)
            text.add(self.encode(f"\n{line}" if i else f" {line}"), QUESTION_WEIGHT)
            text.add(self.encode(f" {answer}"), ANSWER_WEIGHT)
        text.add(self.encode("</s>"), QUESTION_WEIGHT)
        return text

    def _single(self, entity: world.Entity, rng: random.Random, with_system: bool) -> Text:
        question, answer = rng.choice(entity.questions(rng, code_share=CODE_SHARE))
        text = self._prompt(prompts.answer_turn(entity.document(rng), question), with_system)
        text.add(self.encode(f" {answer}"), ANSWER_WEIGHT)
        text.add(self.encode("</s>"), QUESTION_WEIGHT)
        return text

    def _record(self, entity: world.Entity, rng: random.Random) -> Text:
        """A document and then, without a word between them, the name and all values in fixed order.

        It is what the compressor's memory has to hold, read from where the compressor reads it.
        """
        text = Text()
        text.add(self.encode("<s>"), 0.0)
        text.add(self.encode(entity.document(rng)), DOCUMENT_WEIGHT)
        text.add(self.encode("</s>"), 0.0)
        values = [fact.value for fact in entity.facts]
        text.add(self.encode(f" {' '.join([entity.name, *values])}"), ANSWER_WEIGHT)
        text.add(self.encode("</s>"), QUESTION_WEIGHT)
        return text

    def _paraphrase(self, entity: world.Entity, rng: random.Random, with_system: bool) -> Text:
        instruction = prompts.draw_instruction(rng)
        turn = prompts.paraphrase_turn(entity.document(rng), instruction)
        text = self._prompt(turn, with_system)
        text.add(self.encode(f" {entity.document(rng)}</s>"), QUESTION_WEIGHT)
        return text

    def _prompt(self, turn: prompts.Turn, with_system: bool) -> Text:
        """The chat template of `tokenizer.py`, with its parts told apart."""
        text = Text()
        text.add(self.encode(f"<s><|system|>{turn.system}" if with_system else "<s>"), 0.0)
        text.add(self.encode(f"<|user|>{turn.user}"), DOCUMENT_WEIGHT)
        text.add(self.encode("<|assistant|>"), 0.0)
        return text
