"""MLflow: a SQLite file beside the store's runs, or the server that MLFLOW_TRACKING_URI names."""

import logging
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from flows.tracking.tracker import TrackedRun

# MLflow counts its users over the network unless it is told not to, as its import reads it.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server that is away: for seconds, not for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
# its metrics of the machine would be sampled by a thread
os.environ.setdefault("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

_MAX_METRICS = 1_000  # of one request; MLflow's own limits
_MAX_PARAMETERS = 100
_MAX_CHARS = 6_000  # of a parameter's value
_HOME = "mlflow"
_DATABASE = "mlflow.db"
_STATUS = {"completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class MlflowRun:
    """One run in an experiment that has the recipe's name, or that MLFLOW_EXPERIMENT_NAME gives."""

    def __init__(self, run: TrackedRun) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table that it makes
        home = run.home / _HOME
        address = os.environ.get("MLFLOW_TRACKING_URI")
        self._client = MlflowClient(tracking_uri=address or database_address(home))
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", run.recipe_name)
        artifacts = None if address else (home / "artifacts").as_uri()
        created = self._client.create_run(
            self._experiment(experiment, artifacts), run_name=run.run_id, tags={"run_id": run.run_id, **run.facts}
        )
        self._run_id = created.info.run_id
        self._waiting: list[Metric] = []
        parameters = [Param(_key(name), str(value)[:_MAX_CHARS]) for name, value in run.parameters.items()]
        for start in range(0, len(parameters), _MAX_PARAMETERS):
            self._client.log_batch(self._run_id, params=parameters[start : start + _MAX_PARAMETERS])

    def log(self, metrics: Mapping[str, float], step: int, seconds: float) -> None:
        self._waiting += [Metric(_key(name), value, int(seconds * 1000), step) for name, value in metrics.items()]
        if len(self._waiting) >= _MAX_METRICS:
            self.flush()

    def note(self, facts: Mapping[str, str]) -> None:
        self._client.log_batch(self._run_id, tags=[RunTag(name, value) for name, value in facts.items()])

    def flush(self) -> None:
        while self._waiting:
            self._client.log_batch(self._run_id, metrics=self._waiting[:_MAX_METRICS])
            del self._waiting[:_MAX_METRICS]

    def close(self, scores: Mapping[str, float], status: str) -> None:
        self.log({f"scores/{name}": value for name, value in scores.items()}, step=0, seconds=time.time())
        self.flush()
        self.note({"status": status})
        self._client.set_terminated(self._run_id, _STATUS.get(status, "FAILED"))

    def _experiment(self, name: str, artifacts: str | None) -> str:
        """The id of an experiment, made where there is none; another run may make it at the same moment."""
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name, artifact_location=artifacts))
            except MlflowException:
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)


def database_address(home: Path) -> str:
    """The address of the SQLite file in a folder, which is made. (MLflow writes no runs into plain files any more.)"""
    home.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{home / _DATABASE}"


def _key(name: str) -> str:
    """A name as MLflow takes it."""
    return re.sub(r"[^\w\-. /]", "_", name)
