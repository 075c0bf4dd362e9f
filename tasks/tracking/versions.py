"""The model registry: versions by fingerprint, and the aliases `candidate` and `champion`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CANDIDATE = "candidate"
CHAMPION = "champion"
FINGERPRINT_TAG = "clara.fingerprint"
STAGE_TAG = "clara.stage"
FOLDER_TAG = "clara.folder"

_CODE = Path(__file__).with_name("served_model.py")


def add_version(client: MlflowClient, run_id: str, record: dict[str, Any]) -> None:
    """Register a trained stage once as a version that can be served; point the alias at it.

    What MLflow gets is a small model of code that knows where the weights lie.

    Args:
        client: Where to.
        run_id: The run it came from.
        record: `name` of the registered model, `folder` of the version (its address, if it lies on
            an object store), `tags` (the fingerprint among them), and `alias` or None.
    """
    from mlflow.exceptions import MlflowException

    name, tags = record["name"], record["tags"]
    try:
        client.create_registered_model(name)
    except MlflowException as err:
        if err.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = find_version(client, name, tags[STAGE_TAG], tags[FINGERPRINT_TAG])
    if version is None:
        source = _upload(client, run_id, record["folder"])
        version = client.create_model_version(name, source, run_id, tags)
    for key, value in tags.items():
        if version.tags.get(key) != value:  # scores come with each evaluation
            client.set_model_version_tag(name, version.version, key, value)
    if record["alias"]:
        client.set_registered_model_alias(name, record["alias"], version.version)


def find_version(
    client: MlflowClient, name: str, stage: str, fingerprint: str
) -> ModelVersion | None:
    """The version of a stage's training, or None."""
    for version in client.search_model_versions(f"name = '{name}'"):
        same = version.tags.get(STAGE_TAG) == stage
        if same and version.tags.get(FINGERPRINT_TAG) == fingerprint:
            return version
    return None


def version_by_alias(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version that an alias points at, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as err:
        # A missing alias is reported as a wrong argument by some stores.
        if err.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def aliased_versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """The versions that any alias points at, whoever has given it; none of an unknown model."""
    from mlflow.exceptions import MlflowException

    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException as err:
        if err.error_code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise
    return [client.get_model_version(name, version) for version in set(aliases.values())]


def write_served_model(version: str, folder: Path) -> None:
    """Write an MLflow model of code, not of pickles, that answers from a version's folder."""
    from mlflow import pyfunc
    from mlflow.models import Model

    folder.mkdir(parents=True)
    shutil.copyfile(_CODE, folder / _CODE.name)
    # As `pyfunc.save_model` does it, but that takes seconds to look for what a model imports.
    model = Model()
    pyfunc.add_to_model(
        model, loader_module="mlflow.pyfunc.loaders.code_model", model_code_path=_CODE.name,
        model_config={"version": version}, streamable=False,
    )  # fmt: skip
    model.save(str(folder / "MLmodel"))


def _upload(client: MlflowClient, run_id: str, version: str) -> str:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        write_served_model(version, folder)
        place = f"model/{version.rpartition('/')[2]}"
        client.log_artifacts(run_id, str(folder), place)
    return f"{client.get_run(run_id).info.artifact_uri}/{place}"
