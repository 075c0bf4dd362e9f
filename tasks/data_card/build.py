"""Writing the data card: card.json, card.md and card.html, from one gathering."""

from __future__ import annotations

from clara_model.errors import DataError
from configs.schema import PipelineConfig
from tasks.data_card.gather import gather
from tasks.data_card.markdown import card_markdown
from tasks.data_card.notes import card_notes
from tasks.data_card.page import card_page
from tasks.data_card.spending import gather_spending
from tasks.storage import Record, StepResult, write_json, write_text
from tasks.workspace import Workspace


def write_card(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Write data_card/card.json, card.md and card.html of a workspace.

    Returns:
        Counts `rows`, `passages`, `kinds`, `languages`, `sources`, and `cost_usd` where all prices
        are known.

    Raises:
        DataError: If there are no rows.
    """
    card = gather_card(config, workspace)
    folder = workspace.data_card
    write_json(folder / "card.json", card)
    write_text(folder / "card.md", card_markdown(card))
    write_text(folder / "card.html", card_page(card))
    counts: dict[str, float] = {
        "rows": sum(card["rows"].values()),
        "passages": card["passages"]["total"],
        **{key: len(card[key]) for key in ("kinds", "languages", "sources")},
    }
    costs = [row["cost_usd"] for row in card["spending"]]
    if costs and None not in costs:
        counts["cost_usd"] = round(sum(costs), 6)
    return StepResult(counts)


def gather_card(config: PipelineConfig, workspace: Workspace) -> Record:
    """What the card tells, with the notes that a reader should see first.

    Raises:
        DataError: If there are no rows.
    """
    card = gather(config, workspace)
    if not any(card["rows"].values()):
        raise DataError(f"{workspace.root}: no rows to make a card of; run `clara mine` first")
    card["spending"] = gather_spending(config, workspace)
    card["notes"] = card_notes(card)
    return card
