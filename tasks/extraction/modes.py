"""Which mode extraction runs in: `auto` becomes `layout` if Docling's models run, else `native`."""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
import os
from multiprocessing.connection import Connection
from typing import Any

from clara_model.errors import ConfigError
from configs.schema import ExtractionSettings

log = logging.getLogger(__name__)

_PACKAGES = ("docling_ibm_models", "torch", "torchvision", "transformers")
# Models may be downloaded at their first use; a network that swallows everything ends here.
_LOAD_LIMIT_S = 900.0
_REMEDY = (
    "install the extra with `pip install 'clara-pipeline[layout]'`; where there is no network, "
    "bring the models with `docling-tools models download layout tableformer -o DIR` and "
    "--set extraction.artifacts_path=DIR; or take --set extraction.mode=native"
)


def choose_mode(settings: ExtractionSettings) -> ExtractionSettings:
    """The settings with `auto` resolved, which is said in one line.

    Raises:
        ConfigError: If `layout` is asked for and cannot run; the message names the remedy.
    """
    if settings.mode == "native":
        return settings
    problem = _missing() or _try_models(settings)
    if not problem:
        log.info("extraction.mode %s: layout, its models run", settings.mode)
        return settings.model_copy(update={"mode": "layout"})
    if settings.mode == "layout":
        raise ConfigError(f"extraction.mode layout cannot run: {problem}. To get it, {_REMEDY}")
    log.info("extraction.mode auto: native, because layout cannot run: %s", problem)
    return settings.model_copy(update={"mode": "native"})


def extraction_identity(settings: ExtractionSettings) -> dict[str, Any]:
    """What extraction's result depends on besides its other settings.

    Limits belong to it, because files that break them are missing from the result; so does what is
    installed, where the mode is `auto`.
    """
    limits = {"limits": [settings.timeout_s, settings.memory_mb]}
    return limits if settings.mode != "auto" else limits | {"layout_installed": not _missing()}


def stay_offline(settings: ExtractionSettings) -> None:
    """Keep this process from asking the hub for models that lie in a folder, or in its cache."""
    if settings.artifacts_path is not None:
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", "5")
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "10")


def _missing() -> str:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def _try_models(settings: ExtractionSettings) -> str:
    """Load the models in a process of their own; why they do not load, or an empty string."""
    folder = settings.artifacts_path
    if folder is not None and not folder.is_dir():
        return f"extraction.artifacts_path {folder} is not a folder"
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_load, args=(theirs, settings), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(_LOAD_LIMIT_S):
            return f"its models did not load within {_LOAD_LIMIT_S:g} s"
        return str(ours.recv())
    except EOFError:
        process.join()
        return f"loading its models crashed (exit code {process.exitcode})"
    finally:
        process.kill()
        process.join()
        ours.close()


def _load(pipe: Connection, settings: ExtractionSettings) -> None:
    stay_offline(settings)
    from tasks.extraction.layout import load_models

    try:
        load_models(settings)
    except Exception as err:  # noqa: BLE001 - many kinds; all of them mean the same here
        text = " ".join(str(err).split())[:300]
        pipe.send(f"its models do not load ({type(err).__name__}: {text})")
    else:
        pipe.send("")
