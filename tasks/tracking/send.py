"""From the spool to MLflow: in order, and each thing once, whenever a try is cut off.

What MLflow refuses as wrong is dropped, counted, and warned of once; any other failure leaves the
rest in the spool for a later try.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.tracking import spool
from tasks.tracking.address import open_client, require_listener
from tasks.tracking.spool import Record
from tasks.tracking.versions import add_version

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

log = logging.getLogger(__name__)

_BATCH = 1000  # most metrics in one log_batch call
_PARAMS = 100  # most parameters in one log_batch call
_MAX_PARAM = 500  # longest parameter value that every store accepts
_MAX_TAG = 5000
_SETTLE_S = 3.0  # from looking for a run to having made it, on a slow machine
# Answers that another try may change: sign in, come later, or a server's own trouble.
_PASSING = {401, 403, 408, 429}


class Ids(NamedTuple):
    """Where MLflow keeps a run."""

    experiment_id: str
    run_id: str


class UnknownRun(ValueError):
    """A record about a run that nobody has opened; it can never be sent."""


class Sender:
    """Tells MLflow what lies in a spool.

    Args:
        folder: The spool.
        uri: Where to.
    """

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder = folder
        self.uri = uri
        self.ids: dict[str, Ids] = {}
        self.sent = 0
        self._client: MlflowClient | None = None
        self._runs: dict[str, Record] = {}
        self._params: dict[str, set[str]] = {}
        self._steps: dict[str, dict[str, int]] = {}
        self._warned: set[str] = set()
        self._busy = threading.Lock()

    def send_all(self) -> str | None:
        """Send everything that waits; returns why not, or None."""
        with self._busy:
            try:
                require_listener(self.uri)
                if self._client is None:
                    self._client = open_client(self.uri)
                with spool.sole_sender(self.folder):
                    for path in spool.spool_files(self.folder):
                        self._empty(path)
            except Exception as err:  # noqa: BLE001 - whatever happens to it, work goes on
                # What is there has to be asked again: it may have come, or be another server.
                self.ids, self._params, self._steps = {}, {}, {}
                return f"{type(err).__name__}: {str(err).strip().partition(chr(10))[0][:300]}"
        return None

    def tidy(self) -> None:
        """Remove files that are sent, of processes that are gone."""
        if self._busy.acquire(blocking=False):
            try:
                for path in spool.spool_files(self.folder):
                    spool.remove_if_done(path)
            except OSError as err:
                log.debug("the spool was not tidied: %s", err)
            finally:
                self._busy.release()

    def _empty(self, path: Path) -> None:
        offset = spool.read_marker(path)
        for after, records in _grouped(spool.read_from(path, offset)):
            self._send(records)
            spool.write_marker(path, after)
            self.sent += len(records)
        spool.remove_if_done(path)

    def _send(self, records: list[Record]) -> None:
        """Send records that belong together; several only if they are metrics of one run."""
        kind, first = records[0]["do"], records[0]
        if kind == "metrics":
            self._or_refused("metrics", lambda: self._send_metrics(first["ref"], records))
        elif kind in ("run", "close", "forget"):
            # A failure here is never about the content: the whole file waits.
            getattr(self, f"_send_{kind}")(first)
        else:
            name = f"{kind} {first.get('name', '')}".strip()
            self._or_refused(name, lambda: getattr(self, f"_send_{kind}")(first))

    def _send_run(self, record: Record) -> None:
        self._runs[record["ref"]] = record
        run_id = self._run_id(record["ref"])
        self.client.update_run(run_id, status="RUNNING")
        self._or_refused("tags", lambda: self._set_tags(run_id, record["tags"]))

    def _send_close(self, record: Record) -> None:
        run_id = self._run_id(record["ref"])
        self.client.set_terminated(run_id, record["status"], record["at"])

    def _send_forget(self, record: Record) -> None:
        """Mark runs of a pipeline that another one has replaced, and that were never ended."""
        experiment = self.client.get_experiment_by_name(record["experiment"])
        if experiment is None:
            return
        condition = f"tags.`{record['tag']}` = '{record['value']}' and status = 'RUNNING'"
        for run in self.client.search_runs([experiment.experiment_id], condition):
            self.client.set_terminated(run.info.run_id, "KILLED", record["at"])

    def _send_tags(self, record: Record) -> None:
        self._set_tags(self._run_id(record["ref"]), record["tags"])

    def _set_tags(self, run_id: str, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(k, v[:_MAX_TAG]) for k, v in tags.items()])

    def _send_params(self, record: Record) -> None:
        from mlflow.entities import Param

        run_id = self._run_id(record["ref"])
        known = self._params[run_id]
        fresh = {k: str(v)[:_MAX_PARAM] for k, v in record["params"].items() if k not in known}
        items = [Param(key, value) for key, value in fresh.items()]
        for start in range(0, len(items), _PARAMS):
            part = items[start : start + _PARAMS]
            self.client.log_batch(run_id, params=part)
            known |= {param.key for param in part}

    def _send_metrics(self, ref: str, records: list[Record]) -> None:
        """Those of steps that the run has not had yet: sent again, a line changes nothing."""
        run_id = self._run_id(ref)
        last = self._steps[run_id]
        fresh = []
        for metric in _metrics(records):
            if metric.step > last.get(metric.key, -1):
                fresh.append(metric)
                last[metric.key] = metric.step
        for start in range(0, len(fresh), _BATCH):
            self._log_metrics(run_id, fresh[start : start + _BATCH])

    def _log_metrics(self, run_id: str, metrics: list[Metric]) -> None:
        """All at once; one by one where MLflow does not take them together."""
        try:
            self.client.log_batch(run_id, metrics=metrics)
        except Exception as err:
            if not _is_refusal(err):
                raise
            if len(metrics) == 1:
                self._refuse(f"metric {metrics[0].key}", err)
                return
            for metric in metrics:
                self._log_metrics(run_id, [metric])

    def _send_file(self, record: Record) -> None:
        path = Path(record["path"])
        if path.is_file():  # else it was sent, and the note about it was lost
            self.client.log_artifact(self._run_id(record["ref"]), str(path), record["folder"])
            path.unlink()
            path.parent.rmdir()

    def _send_text(self, record: Record) -> None:
        self.client.log_text(self._run_id(record["ref"]), record["text"], record["name"])

    def _send_dataset(self, record: Record) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            record["name"], record["digest"], "local", json.dumps({"uri": record["uri"]}),
            profile=json.dumps({"num_rows": record["rows"]}),
        )  # fmt: skip
        tags = [InputTag("mlflow.data.context", record["context"])]
        self.client.log_inputs(self._run_id(record["ref"]), [DatasetInput(dataset, tags)])

    def _send_version(self, record: Record) -> None:
        add_version(self.client, self._run_id(record["ref"]), record)

    @property
    def client(self) -> MlflowClient:
        """The open client."""
        if self._client is None:
            self._client = open_client(self.uri)
        return self._client

    def _run_id(self, ref: str) -> str:
        """The run of a name of ours: found by its tags, or made."""
        if ref not in self.ids:
            record = self._record_of(ref)
            experiment_id = self._experiment(record)
            self.ids[ref] = Ids(experiment_id, self._find_or_create(experiment_id, record))
        run_id = self.ids[ref].run_id
        if run_id not in self._steps:
            run = self.client.get_run(run_id)
            self._params[run_id] = set(run.data.params)
            self._steps[run_id] = {m.key: m.step for m in run.data.to_proto().metrics}
        return run_id

    def _find_or_create(self, experiment_id: str, record: Record) -> str:
        identity = dict(record["identity"])
        condition = " and ".join(f"tags.`{key}` = '{value}'" for key, value in identity.items())
        found = self._first_run(experiment_id, condition)
        if found:
            return found
        if record["parent"]:
            identity["mlflow.parentRunId"] = self._run_id(record["parent"])
        run = self.client.create_run(experiment_id, record["at"], identity, record["name"])
        made = str(run.info.run_id)
        if record["parent"]:  # a step is one worker's: nobody else makes its run
            return made
        if record.get("shared"):
            # Whoever began earlier may have looked before this run was there, and make its own
            # only now: both have to see both, or each would keep its own.
            time.sleep(_SETTLE_S)
        first = self._first_run(experiment_id, condition) or made
        if first != made:
            log.debug("another machine has made %s at the same time", record["name"])
            self.client.delete_run(made)
        return first

    def _first_run(self, experiment_id: str, condition: str) -> str | None:
        """The one that began first, so that machines agree on it."""
        found = self.client.search_runs(
            [experiment_id], condition, max_results=1, order_by=["attributes.start_time ASC"]
        )
        return str(found[0].info.run_id) if found else None

    def _record_of(self, ref: str) -> Record:
        """What the spool says about a run, in its part that an earlier process has sent."""
        if ref not in self._runs:
            for path in spool.spool_files(self.folder):
                records = (record for _, record in spool.read_from(path, 0))
                self._runs |= {r["ref"]: r for r in records if r["do"] == "run"}
        if ref not in self._runs:
            raise UnknownRun(f"no run of this name was opened: {ref!r}")
        return self._runs[ref]

    def _experiment(self, record: Record) -> str:
        name = record["experiment"]
        found = self.client.get_experiment_by_name(name)
        if found is None:
            return str(self.client.create_experiment(name, record["location"]))
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _or_refused(self, name: str, send: Callable[[], None]) -> None:
        try:
            send()
        except Exception as err:
            if not _is_refusal(err):
                raise
            self._refuse(name, err)

    def _refuse(self, name: str, err: Exception) -> None:
        spool.add_refused(self.folder, name)
        if name not in self._warned:
            log.warning("MLflow refuses %s, which is left out: %s", name, str(err)[:300])
        self._warned.add(name)


def _grouped(waiting: list[tuple[int, Record]]) -> Iterator[tuple[int, list[Record]]]:
    """Records to send together, with the place after them: metrics of one run in a row."""
    group: list[Record] = []
    place = lines = 0
    for after, record in waiting:
        joins = (
            group
            and group[0]["do"] == record["do"] == "metrics"
            and group[0]["ref"] == record["ref"]
            and lines < _BATCH
        )
        if group and not joins:
            yield place, group
            group, lines = [], 0
        group.append(record)
        lines += len(record.get("lines", ()))
        place = after
    if group:
        yield place, group


def _metrics(records: list[Record]) -> Iterator[Metric]:
    from mlflow.entities import Metric

    for record in records:
        for step, values in record["lines"]:
            for name, value in values.items():
                yield Metric(name, float(value), record["at"], step)


def _is_refusal(err: Exception) -> bool:
    """Whether MLflow has understood a record, and will never take it."""
    from mlflow.exceptions import MlflowException

    if isinstance(err, UnknownRun):
        return True
    if not isinstance(err, MlflowException) or err.error_code == "RESOURCE_DOES_NOT_EXIST":
        return False  # a run that is gone is made again
    status: Any = err.get_http_status_code()
    return 400 <= status < 500 and status not in _PASSING
