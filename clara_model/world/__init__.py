"""A made-up world of people and companies, generated without end from a seed.

A small decoder learns to read only from plenty of text, and learning can be measured honestly only
on names it never met. So full names are combinations of words, and the combinations (not the words)
are divided over the splits `train`, `dev` and `test`. Every row is a function of its arguments and
its position alone: asking for more rows never changes the first ones. Writing rows to disk and
mixing them with a user's own is the caller's business.
"""

from clara_model.world.categories import category_sentences
from clara_model.world.descriptions import described_rows
from clara_model.world.entities import (
    BLOCK,
    GRID,
    SPLITS,
    Entity,
    Fact,
    Kind,
    Split,
    code_of,
    draw_crowd,
    draw_entity,
    draw_grid,
    draw_name,
    employed,
    make_entity,
    name_blocks,
)
from clara_model.world.hotpot import hotpot_records
from clara_model.world.rows import (
    CODE_SHARE,
    COMPLEX_SHARE,
    QUESTIONS_PER_CROWD,
    benchmark_rows,
    stage1_rows,
    stage2_rows,
    stage3_rows,
)
from clara_model.world.shortcuts import hinted_companies, shortcut_scores
from clara_model.world.two_hops import (
    EmployedCrowd,
    draw_employed_crowd,
    two_hop_rows,
    two_hop_stage2_rows,
)
from clara_model.world.vocabulary import extended_vocabulary, vocabulary

__all__ = [
    "BLOCK",
    "CODE_SHARE",
    "COMPLEX_SHARE",
    "GRID",
    "QUESTIONS_PER_CROWD",
    "SPLITS",
    "EmployedCrowd",
    "Entity",
    "Fact",
    "Kind",
    "Split",
    "benchmark_rows",
    "category_sentences",
    "code_of",
    "described_rows",
    "draw_crowd",
    "draw_employed_crowd",
    "draw_entity",
    "draw_grid",
    "draw_name",
    "employed",
    "extended_vocabulary",
    "hinted_companies",
    "hotpot_records",
    "make_entity",
    "name_blocks",
    "shortcut_scores",
    "stage1_rows",
    "stage2_rows",
    "stage3_rows",
    "two_hop_rows",
    "two_hop_stage2_rows",
    "vocabulary",
]
