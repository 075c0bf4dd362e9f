"""Which kinds of rows stage 1 sees: simple questions, complex ones, paraphrases. Free of torch."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from typing import Any

from clara_model.errors import ConfigError

log = logging.getLogger(__name__)

Row = dict[str, Any]

KINDS = ("simple", "complex", "paraphrase")


def mix_rows(rows: list[Row], shares: Mapping[str, float], seed: int) -> list[Row]:
    """Keep each kind's share of the rows, by a draw that depends on the row and the seed alone.

    A row's questions may be of two kinds (`kinds` names them one by one, `kind` all at once): a
    draw for each kind decides which of them stay, and a row without any drops out. Rows that only
    say `qa`, as the authors' do, are kept by the larger of the shares of simple and complex.

    Args:
        rows: Rows of stage 1; not changed.
        shares: From 0 to 1, by kind; one that is not named stays whole.
        seed: Decides the draws.

    Raises:
        ConfigError: If no kind has a share.
    """
    full = {kind: shares.get(kind, 1.0) for kind in KINDS}
    if not any(full.values()):
        raise ConfigError(
            "training.stage1.data_mix leaves nothing to train on: set simple, complex or "
            "paraphrase above 0"
        )
    if all(share >= 1 for share in full.values()):
        return rows
    full["qa"] = max(full["simple"], full["complex"])
    kept = [row for row in (_mixed(row, full, seed) for row in rows) if row is not None]
    untold = sum("qa" in _kinds(row) for row in rows)
    log.info("data_mix: %d of %d rows left out", len(rows) - len(kept), len(rows))
    if untold and full["simple"] != full["complex"]:
        log.warning(
            "data_mix: %d rows do not tell simple questions from complex ones; their share is %g",
            untold, full["qa"],
        )  # fmt: skip
    return kept


def _mixed(row: Row, shares: Mapping[str, float], seed: int) -> Row | None:
    kinds = _kinds(row)
    stays = {kind: _draw(row, kind, seed) < shares[kind] for kind in set(kinds)}
    if all(stays.values()):
        return row
    if not any(stays.values()):
        return None
    places = [i for i, kind in enumerate(kinds) if stays[kind]]
    own = {key: [row[key][i] for i in places] for key in ("question", "answers", "kinds")}
    return {**row, **own}


def _kinds(row: Row) -> list[str]:
    """The kind of each question of a row."""
    if row["data_type"] == "paraphrase":
        return ["paraphrase"]
    kinds = row.get("kinds")
    if isinstance(kinds, list) and len(kinds) == len(row["question"]):
        return [_kind(kind) for kind in kinds]
    return [_kind(row.get("kind"))] * len(row["question"])


def _kind(name: Any) -> str:
    """`simple` and `complex`, with `_qa` or without; `qa` for any other name."""
    plain = str(name).removesuffix("_qa")
    return plain if plain in ("simple", "complex") else "qa"


def _draw(row: Row, kind: str, seed: int) -> float:
    """A number from 0 up to, not including, 1."""
    # By content: the same row is drawn alike wherever it stands, and in every run.
    parts = (str(seed), kind, row["docs"][0], *row["question"], *row["answers"])
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
