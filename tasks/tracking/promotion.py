"""Which version is the champion: it changes only where a paired test on the benchmark says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from clara_model.errors import ConfigError, DataError, ServiceError
from clara_model.evaluation.bootstrap import Comparison, compare_paired
from clara_model.evaluation.metrics import score
from configs.schema import PipelineConfig
from tasks.storage import read_records
from tasks.tracking.address import has_own_database, open_client, require_listener, resolved_uri
from tasks.tracking.versions import (
    CANDIDATE,
    CHAMPION,
    FOLDER_TAG,
    STAGE_TAG,
    aliased_versions,
    version_by_alias,
)
from tasks.travel.registered import fetch_version, is_remote, local_folder
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

Metric = Literal["em", "f1", "containment"]
_METRICS: dict[str, str] = {"em": "open.em", "f1": "open.f1", "containment": "open.contains"}

# (benchmark, id, question): what tells a question from all others.
Question = tuple[str, str, str]


@dataclass(frozen=True)
class Decision:
    """What became of a promotion.

    Args:
        version: The version that was to become champion.
        champion: The champion before, or None.
        promoted: Whether the alias stands at `version` now.
        reason: Why, or why not, in one sentence.
        comparison: The paired test, where there was one: `version` minus `champion`.
    """

    version: str
    champion: str | None
    promoted: bool
    reason: str
    comparison: Comparison | None = None


def promote(
    config: PipelineConfig,
    workspace: Workspace,
    version: str | None,
    *,
    metric: Metric = "f1",
    setting: str = "normal",
    force: bool = False,
) -> Decision:
    """Move the alias `champion` to a version if it is shown to be better.

    Args:
        config: Names the registered model and its server.
        workspace: Whose database is meant where no server is configured.
        version: Its number; None for the candidate.
        metric: What questions are scored by.
        setting: Which candidates they came with, see the evaluation's report.
        force: Move it whatever the test says.

    Raises:
        ConfigError: If there is no such version, or no candidate.
        DataError: If the two versions' predictions cannot be compared, without `force`.
        ServiceError: If MLflow does not answer.
    """
    client, name = _client(config, workspace), config.tracking.registered_model
    wanted = _find(client, name, version)
    champion = version_by_alias(client, name, CHAMPION)
    number = str(wanted.version)  # some stores number them, and some write words
    if champion is not None and champion.version == wanted.version:
        return Decision(number, number, True, "it is the champion already")
    comparison = None
    if champion is None:
        promoted, reason = True, "there was no champion"
    elif force:
        promoted, reason = True, "--force"
    else:
        comparison = compare_versions(config, wanted, champion, metric=metric, setting=setting)
        promoted = comparison.shown and comparison.difference > 0
        reason = _words(comparison, metric)
    if promoted:
        client.set_registered_model_alias(name, CHAMPION, number)
    before = None if champion is None else str(champion.version)
    return Decision(number, before, promoted, reason, comparison)


def compare_versions(
    config: PipelineConfig,
    first: ModelVersion,
    second: ModelVersion,
    *,
    metric: Metric,
    setting: str,
) -> Comparison:
    """The paired test of two versions on the questions that both have answered.

    Raises:
        DataError: If predictions are missing, or none are of the same question.
    """
    ours = _scores(config, first, metric, setting)
    theirs = _scores(config, second, metric, setting)
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        raise DataError(
            f"versions {first.version} and {second.version} have answered no question in common: "
            "evaluate both on the same benchmark, or use --force"
        )
    return compare_paired([ours[q] for q in common], [theirs[q] for q in common])


def version_folder(config: PipelineConfig, version: ModelVersion) -> Path | None:
    """Where a version keeps weights and predictions, if that is on this machine.

    Of one that lies on an object store it is the local copy, as far as that was fetched.
    """
    address = version.tags.get(FOLDER_TAG, "")
    if is_remote(address):
        folder = local_folder(address, config)
        return folder if folder.is_dir() else None
    parts = urlsplit(address)
    if parts.scheme != "file":
        return None
    folder = Path(unquote(parts.path))
    return folder if folder.is_dir() else None


def _client(config: PipelineConfig, workspace: Workspace) -> MlflowClient:
    uri = resolved_uri(config, workspace)
    try:
        require_listener(uri)
    except OSError as err:
        raise ServiceError(
            f"tracking.uri: {config.tracking.uri} does not answer ({err}); nothing was changed",
            retryable=True,
        ) from err
    return open_client(uri)


def _find(client: MlflowClient, name: str, version: str | None) -> ModelVersion:
    if version is None:
        found = version_by_alias(client, name, CANDIDATE)
        if found is None:
            raise ConfigError(f"{name} has no candidate yet: `clara evaluate` registers one")
        return found
    known = {str(v.version): v for v in client.search_model_versions(f"name = '{name}'")}
    if version not in known:
        there = ", ".join(
            f"{number} ({v.tags.get(STAGE_TAG, '')})"
            for number, v in sorted(known.items(), key=lambda item: int(item[0]))
        )
        raise ConfigError(f"{name} has no version {version}; there are: {there or 'none'}")
    return known[version]


def _scores(
    config: PipelineConfig, version: ModelVersion, metric: Metric, setting: str
) -> dict[Question, float]:
    """A value a question, from the predictions that the version keeps."""
    if is_remote(address := version.tags.get(FOLDER_TAG, "")):
        fetch_version(address, config, only="predictions")
    folder = version_folder(config, version)
    scores: dict[Question, float] = {}
    for benchmark, row in _predictions(folder, setting) if folder else ():
        question = (benchmark, str(row["id"]), str(row["question"]))
        scores[question] = score(_METRICS[metric], row["answer"], row["golds"])
    if not scores:
        place = version.tags.get(FOLDER_TAG, "an unknown place")
        raise DataError(
            f"version {version.version} has no predictions of setting '{setting}' in {place}: run "
            "`clara evaluate` in its workspace, on this machine, or use --force"
        )
    return scores


def _predictions(folder: Path, setting: str) -> Iterator[tuple[str, dict]]:
    for path in sorted((folder / "predictions").glob(f"*.{setting}.jsonl")):
        for row in read_records(path):
            if row.get("golds"):
                yield path.name.removesuffix(f".{setting}.jsonl"), row


def _words(comparison: Comparison, metric: Metric) -> str:
    numbers = (
        f"{metric} {comparison.difference:+.3f} [{comparison.low:+.3f}, {comparison.high:+.3f}] "
        f"over {comparison.n} questions, p = {comparison.p_value:.3f}"
    )
    if not comparison.shown:
        return f"no difference is shown: {numbers}"
    return f"it is {'better' if comparison.difference > 0 else 'worse'}: {numbers}"


def aliased_folders(config: PipelineConfig, workspace: Workspace) -> set[Path]:
    """Folders of the versions that an alias points at.

    Raises:
        ServiceError: If MLflow does not answer.
    """
    if has_own_database(config) and not (workspace.root / "mlflow.db").is_file():
        return set()
    client, name = _client(config, workspace), config.tracking.registered_model
    folders = (version_folder(config, version) for version in aliased_versions(client, name))
    return {folder.resolve() for folder in folders if folder is not None}
