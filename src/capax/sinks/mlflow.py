"""MLflow: a run a trial, in `mlruns/mlflow.db` of the run directory, or where MLFLOW_TRACKING_URI
says.

A run is known by its tag `capax.trial`; the tag `capax.state` is set last, with the step up to
which it was logged. So a run that is told again is left alone, one that had paused goes on behind
that step, and one that was half logged is deleted and logged anew.
"""

import logging
import os
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it reports its use to its makers, read at import

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.tracking import MlflowClient

from capax.sinks.sink import Sink, TrialReport

FOLDER, DATABASE = "mlruns", "mlflow.db"
TRIAL, STATE, STEPS = "capax.trial", "capax.state", "capax.steps"
MOST_PARAMETERS, MOST_METRICS = 100, 1000  # in one request
LONGEST = 6000  # characters of a parameter


class MLflow(Sink):
    """Runs with parameters, metrics, and tags."""

    def __init__(self, client: MlflowClient, experiment: str, identity: str):
        self._client, self._experiment, self._identity = client, experiment, identity

    @classmethod
    def begin(cls, name: str, identity: str, directory: Path) -> "MLflow":
        for logger in ("mlflow", "alembic"):
            logging.getLogger(logger).setLevel(logging.WARNING)
        folder = (directory / FOLDER).resolve()
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            folder.mkdir(exist_ok=True)
            uri = f"sqlite:///{folder / DATABASE}"
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if found is None else found.experiment_id
        return cls(client, experiment, identity)

    def take(self, trial: TrialReport) -> None:
        key = f"{self._identity} {trial.name}"
        run, behind = self._known(key), -1
        if run is not None and run.data.tags[STATE] == trial.state and run.data.tags[STEPS] == str(trial.steps):
            return
        if run is None:
            run = self._client.create_run(self._experiment, start_time=0, tags={TRIAL: key}, run_name=trial.name)
            self._describe(run, trial)
        else:
            behind = int(run.data.tags[STEPS])
        self._log(run, trial, behind)
        last = {STATE: trial.state, STEPS: str(trial.steps)}
        self._client.log_batch(run.info.run_id, tags=[RunTag(name, value) for name, value in last.items()])
        if trial.state != "paused":
            status = "FAILED" if trial.state == "infeasible" else "FINISHED"
            self._client.set_terminated(run.info.run_id, status, end_time=int(1000 * trial.seconds))

    def _known(self, key: str) -> Run | None:
        """The run of a trial; one that was half logged is deleted."""
        quoted = key.replace("'", "''")
        kept = None
        for run in self._client.search_runs([self._experiment], f"tags.`{TRIAL}` = '{quoted}'"):
            if {STATE, STEPS} <= run.data.tags.keys():
                kept = run
            else:
                self._client.delete_run(run.info.run_id)
        return kept

    def _describe(self, run: Run, trial: TrialReport) -> None:
        given = {**trial.hyperparameters, "seed": trial.seed, "study": trial.study, "rerun": trial.rerun}
        params = [Param(name, str(value)[:LONGEST]) for name, value in given.items()]
        for first in range(0, len(params), MOST_PARAMETERS):
            self._client.log_batch(run.info.run_id, params=params[first : first + MOST_PARAMETERS])

    def _log(self, run: Run, trial: TrialReport, behind: int) -> None:
        """Log what is behind a step. The time of a metric is in milliseconds of training."""
        points = [("loss", value, step) for step, value in trial.curve]
        points += [(name, value, trial.steps) for name, value in trial.scores.items()]
        metrics = [
            Metric(name, value, int(1000 * trial.seconds * step / max(1, trial.steps)), step)
            for name, value, step in points
            if step > behind
        ]
        for first in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(run.info.run_id, metrics=metrics[first : first + MOST_METRICS])
