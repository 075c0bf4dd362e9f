"""Prefect skin of this folder."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from configs.learning import LearningConfig
from tasks.learning.learn import Proof


@task(name="prove that it learns", cache_policy=NO_CACHE, persist_result=False)
def learn_task(config: LearningConfig, command: str, out: Path | None, only: str | None) -> Proof:
    """Do all jobs of a learning proof, and write its page."""
    from tasks.learning.learn import prove

    return prove(config, command=command, out=out, only=only)
