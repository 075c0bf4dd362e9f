"""What a reader of the card should know before its numbers."""

from __future__ import annotations

from tasks.storage import Record

# Fewer held-out questions than this decide little.
_FEW_QUESTIONS = 30


def card_notes(card: Record) -> list[str]:
    """Sentences on stand-ins, the split, what is missing and what was set aside."""
    notes = []
    if any(maker["provider"] == "embedded" for maker in card["made_by"]):
        notes.append(
            "Questions, answers and paraphrases were made by the embedded rules, which stand in "
            "for a language model: they show that the pipeline works, not how good data looks."
        )
    notes += _split_notes(card)
    coverage = card["coverage"]
    if silent := coverage["passages"] - coverage["questions"]:
        notes.append(f"{silent:,} of {coverage['passages']:,} passages have no question.")
    if not coverage["facts"]:
        notes.append("Facts were not counted, so their coverage is not known.")
    if 0 < card["rows"]["benchmark"] < _FEW_QUESTIONS:
        number = card["rows"]["benchmark"]
        notes.append(f"Only {number} held-out questions: scores on them will be vague.")
    if any(row["cost_usd"] is None for row in card["spending"]):
        notes.append("The cost is not known in full: some models have no known price.")
    if card["world_rows"]:
        notes.append(
            f"Beside these rows stand {card['world_rows']:,.0f} of the generated world, which are "
            "not described here."
        )
    return notes


def _split_notes(card: Record) -> list[str]:
    audit = card["audit"]
    if not audit:
        return ["No audit of the split was found."]
    if not audit["apart"]:
        count = audit["violations_counted"]
        return [f"Training and benchmark are not apart: {count:,} violations, see audit.json."]
    sides = audit["sides"]
    notes = [
        "Training and benchmark are apart, by source document, passage and question: "
        f"{sides['train']['sources']:,} documents and {sides['train']['passages']:,} passages on "
        f"one side, {sides['benchmark']['sources']:,} and {sides['benchmark']['passages']:,} on "
        "the other."
    ]
    if not sides["benchmark"]["sources"]:
        notes = ["No document is held out: there is no benchmark of this data."]
    if shared := audit["shared_answer_sentences_counted"]:
        notes.append(
            f"{shared:,} benchmark rows have their answer in a sentence that training documents "
            "hold too; audit.json names them."
        )
    return notes
