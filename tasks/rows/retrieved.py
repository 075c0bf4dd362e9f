"""Proof that the rows of the normal setting hold golds that were found, none that was given."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from clara_model.errors import DataError
from tasks.manifests import hash_path, read_manifest
from tasks.negatives.pool import PassagePool
from tasks.rows.inputs import STEP, distinct_passages
from tasks.storage import Record
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

_NAMED = 3


def audit_retrieved(workspace: Workspace, rows: Sequence[Record]) -> bool:
    """Retrieve every question again, as `mine` did, and compare.

    Only where the passages that the rows were made from are at hand: of others BM25 finds others.

    Args:
        workspace: Whose passages are searched.
        rows: Of its benchmark/normal.jsonl.

    Returns:
        Whether it could be done.

    Raises:
        DataError: If a row holds a gold passage that BM25 does not find among as many.
    """
    if not _are_at_hand(workspace):
        log.info("normal rows were not audited: the passages they were made from are not at hand")
        return False
    sides = distinct_passages(workspace.passages, [])
    # In the order in which `mine` searches them: equal scores keep it.
    both = (*sides["benchmark"], *sides["train"])
    pool = PassagePool((passage.id, passage.text, passage.source) for passage in both)
    given = [row["id"] for row in rows if given_golds(row, pool)]
    if given:
        more = f" and {len(given) - _NAMED} more" if len(given) > _NAMED else ""
        raise DataError(
            f"{workspace.benchmark / 'normal.jsonl'}: rows {', '.join(given[:_NAMED])}{more} hold "
            "gold passages that BM25 does not find, so they were given: run `clara mine --force`"
        )
    return True


def given_golds(row: Record, pool: PassagePool) -> list[str]:
    """Gold passages among a row's documents that its question does not retrieve.

    A gold is what `pos_index` points to, and what the row says that it is about, marked or not.
    """
    golds = {row["docs"][i] for i in row["pos_index"]}
    about = row.get("passage_ids") or ()
    golds |= {pool.texts[pool.position(name)] for name in about if name in pool}
    there = golds.intersection(row["docs"])
    if not there:
        return []
    hits = pool.index.search(row["question"], len(row["docs"]))
    return sorted(there - {pool.texts[hit.position] for hit in hits})


def _are_at_hand(workspace: Workspace) -> bool:
    if not workspace.passages.is_file():
        return False
    mined = (read_manifest(workspace, STEP) or {}).get("inputs", {}).get(workspace.passages.name)
    return mined == hash_path(workspace.passages, workspace)
