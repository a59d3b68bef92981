"""Runs an experiment: studies -> trials -> store, resuming whatever the directory already holds.

Each study goes on in batches: the tuner proposes a batch, the whole batch trains, the tuner learns. So what it proposes
depends on the experiment and its seed alone, not on which trial ended first; lanes stay busy with batches of other studies.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from capax.experiments.plan import Plan, StudyPlan, sampler_seed, trial_seed
from capax.experiments.progress import Display, Progress, Silent, StudyProgress
from capax.search.bandit import GaussianProcessBandit
from capax.search.random import SeededRandom
from capax.search.store import Store
from capax.training.checkpoint import save_arrays
from capax.training.population import identity
from capax.training.trial import Result, Trial
from capax.version import __version__

LEAST_UNGUIDED = 8
"""The fewest trials before the tuner uses its model; a fifth of the study where that is more."""
RERUNS = " reruns"
"""What the name of the study that holds the reruns adds to the name of the tuned one."""


@runtime_checkable
class Engine(Protocol):
    """Where populations run; see engines/local.py."""

    @property
    def capacity(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    def submit(self, trials: list[Trial]) -> None: ...
    def next_event(self, timeout: float) -> Any: ...
    def stop(self) -> None: ...


class StudyRun:
    """One study of a run: proposes batches, takes results, knows when it is done."""

    def __init__(self, plan: StudyPlan, store: Store, experiment_seed: int, sampler: str, batch: int):
        self.plan, self.store, self._seed, self._batch = plan, store, experiment_seed, batch
        seed = sampler_seed(experiment_seed, plan.name)
        self._guided = sampler == "bandit"
        # Without a model at first, but not for most of a short study: a cell has up to 27 hyperparameters.
        unguided = max(LEAST_UNGUIDED, plan.trials // 5)
        chosen = GaussianProcessBandit(seed=seed, n_startup=unguided) if self._guided else SeededRandom(seed)
        self._tuning = store.study(plan.name, plan.task.direction, chosen)
        self._reruns = store.study(plan.name + RERUNS, plan.task.direction, SeededRandom(seed))
        self._outstanding: dict[str, tuple[optuna.Study, int]] = {}
        self.progress = StudyProgress(plan)
        for trial in self._finished(self._tuning):
            self._count(trial)
        for trial in self._finished(self._reruns):
            self._count(trial, rerun=True)

    @property
    def idle(self) -> bool:
        """Whether the study can propose: nothing of it is in training."""
        return not self._outstanding

    def propose(self) -> list[Trial]:
        """The next batch of trials, none when the study is done. Trials that an earlier process left running come first."""
        with self.store.writing():
            frozen = self._open(self._tuning)
            if not frozen and self.progress.done < self.plan.trials:
                if not self._tuning.get_trials(deepcopy=False) and self._guided:
                    self._tuning.enqueue_trial(self.plan.defaults)
                for _ in range(min(self._batch, self.plan.trials - self.progress.done)):
                    frozen.append(self._ask(self._tuning.ask()))
            if frozen:
                return [self._trial(self._tuning, trial) for trial in frozen]
            return [self._trial(self._reruns, trial) for trial in self._rerun()]

    def _open(self, study: optuna.Study) -> list[FrozenTrial]:
        """Trials that an earlier process asked for and did not finish: their results taken, their proposals completed."""
        found = []
        for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if "result" in frozen.user_attrs:  # killed between writing the result and closing the trial
                self._tell(study, frozen.number, frozen.user_attrs["result"])
            else:
                found.append(self._ask(optuna.trial.Trial(study, frozen._trial_id)))
        if study is self._tuning and found:
            # A batch that was cut short while it was proposed is completed first.
            asked = len(study.get_trials(deepcopy=False))
            for _ in range(min(-asked % self._batch, self.plan.trials - asked)):
                found.append(self._ask(study.ask()))
        return found

    def _ask(self, trial: optuna.trial.Trial) -> FrozenTrial:
        """Have every hyperparameter of the space suggested; those already suggested stay as they are."""
        for name, distribution in self.plan.space.items():
            _suggest(trial, name, distribution)
        return trial.study.get_trials(deepcopy=False)[trial.number]

    def _rerun(self) -> list[FrozenTrial]:
        """The best hyperparameters on fresh seeds; none if they are done or no trial was feasible."""
        left = self._open(self._reruns)
        best = self.best
        if best is None:
            self.progress.reruns = self.plan.reruns
            return left
        known = self._reruns.get_trials(deepcopy=False)
        waiting = sum(trial.state == TrialState.WAITING for trial in known)
        for number in range(self.plan.reruns - len(known) + waiting):
            if number >= waiting:
                self._reruns.enqueue_trial(best.params)
            left.append(self._ask(self._reruns.ask()))
        return left

    @property
    def best(self) -> FrozenTrial | None:
        """The trial with the best validation score, None if none was feasible."""
        complete = self._tuning.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        sign = 1 if self.plan.task.direction == "maximise" else -1
        return max(complete, key=lambda trial: sign * trial.value, default=None)  # pyright: ignore[reportOperatorIssue]

    def _trial(self, study: optuna.Study, frozen: FrozenTrial) -> Trial:
        rerun = study is self._reruns
        name = f"{study.study_name}/{frozen.number}"
        self._outstanding[name] = (study, frozen.number)
        return Trial(
            name=name,
            task=self.plan.task,
            shape=self.plan.shape,
            hyperparameters=frozen.params,
            steps=frozen.params["training_steps"],
            seed=trial_seed(self._seed, self.plan.name, int(rerun), frozen.number),
            data_seed=frozen.number + 1 if rerun else 0,
            checkpoint=self.store.checkpoint(study.study_name, frozen.number),
        )

    def started(self, name: str, steps: int, work: float) -> None:
        """Note how far a trial in training has come."""
        self.progress.running[name] = (steps, work)

    def finish(self, trial: Trial, result: Result) -> None:
        """Keep a trial's result: curve, best network, then the journal, then let go of the checkpoint."""
        study, number = self._outstanding.pop(trial.name)
        record = {
            "feasible": result.feasible,
            "steps": result.steps,
            "seconds": result.seconds,
            "seed": trial.seed,
            "validation": dict(result.validation),
            "evaluation": dict(result.evaluation),
        }
        self.store.save_curve(study.study_name, number, result.curve, result.curve_interval)
        if study is self._tuning and result.feasible and self._improves(result.validation["score"]):
            manifest = {**identity(trial), "parameters": trial.shape.parameters, "validation": record["validation"]}
            save_arrays(self.store.model(self.plan.name), {"parameters": result.parameters}, manifest)
        with self.store.writing():
            trial_id = study.get_trials(deepcopy=False)[number]._trial_id
            study._storage.set_trial_user_attr(trial_id, "result", record)
            self._tell(study, number, record)
        if trial.checkpoint is not None:
            trial.checkpoint.unlink(missing_ok=True)
        self.progress.running.pop(trial.name, None)

    def _improves(self, score: float) -> bool:
        best = self.best
        sign = 1 if self.plan.task.direction == "maximise" else -1
        return best is None or sign * score > sign * best.value  # pyright: ignore[reportOperatorIssue]

    def _tell(self, study: optuna.Study, number: int, record: dict[str, Any]) -> None:
        if record["feasible"]:
            study.tell(number, record["validation"]["score"])
        else:
            study.tell(number, state=TrialState.FAIL)
        self._count(study.get_trials(deepcopy=False)[number], rerun=study is self._reruns)

    @staticmethod
    def _finished(study: optuna.Study) -> list[FrozenTrial]:
        return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))

    def _count(self, trial: FrozenTrial, rerun: bool = False) -> None:
        progress, best = self.progress, self.progress.best
        progress.work_done += trial.user_attrs["result"]["steps"] * self._work_per_step(trial.params)
        if rerun:
            progress.reruns += 1
            return
        progress.done += 1
        if trial.state == TrialState.FAIL:
            progress.infeasible += 1
        else:
            value = trial.value
            assert value is not None
            better = max if self.plan.task.direction == "maximise" else min
            progress.best = value if math.isnan(best) else better(best, value)

    def _work_per_step(self, hyperparameters: dict[str, Any]) -> float:
        return self.plan.task.cost(hyperparameters, self.plan.shape.parameters) * self.plan.shape.parameters


def _suggest(trial: optuna.trial.Trial, name: str, distribution: Any) -> None:
    if isinstance(distribution, CategoricalDistribution):
        trial.suggest_categorical(name, distribution.choices)
    elif isinstance(distribution, IntDistribution):
        trial.suggest_int(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    elif isinstance(distribution, FloatDistribution):
        trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    else:
        raise TypeError(f"{name}: unknown distribution {distribution}")


def execute(plan: Plan, directory: Path, make_engine: Callable[[], Engine], display: Display | None = None) -> None:
    """Run or resume an experiment in a directory, to its end. The engine is made once the directory is ours.

    Raises `CapaxError` for a directory that cannot be used; on KeyboardInterrupt the lanes' checkpoints are kept.
    """
    display = display or Silent()
    experiment = plan.experiment
    store = Store.create(directory, experiment.model_dump(mode="json"), __version__)
    try:
        with _quiet_optuna():
            runs = [
                StudyRun(study, store, experiment.seed, experiment.sampler, experiment.batch) for study in plan.studies
            ]
            engine = make_engine()
            try:
                _loop(plan, runs, engine, display)
            finally:
                engine.stop()
    finally:
        store.close()


def _loop(plan: Plan, runs: list[StudyRun], engine: Engine, display: Display) -> None:
    progress = Progress(plan, {run.plan.name: run.progress for run in runs})
    progress.work_before = sum(run.progress.work_done for run in runs)
    resumed = sum(run.progress.done for run in runs)
    if resumed:
        display.note(f"resuming: {resumed} finished trials are kept")
    started, steps_of = time.monotonic(), {}
    by_trial: dict[str, tuple[StudyRun, Trial]] = {}
    while True:
        _feed(runs, engine, by_trial)
        if not by_trial:
            break
        event = engine.next_event(timeout=0.5)
        progress.seconds = time.monotonic() - started
        if event is not None:
            _take(event, by_trial, progress, steps_of)
        display.update(progress)
    display.update(progress)


def _feed(runs: list[StudyRun], engine: Engine, by_trial: dict[str, tuple[StudyRun, Trial]]) -> None:
    """Keep as many trials waiting as train at the same time, from the first studies that can propose."""
    for run in runs:
        if engine.waiting >= engine.capacity:
            return
        if run.idle:
            batch = run.propose()
            by_trial.update({trial.name: (run, trial) for trial in batch})
            engine.submit(batch)


def _take(
    event: Any, by_trial: dict[str, tuple[StudyRun, Trial]], progress: Progress, steps_of: dict[str, int]
) -> None:
    error = getattr(event, "error", None)
    if error is not None:
        raise error
    result = getattr(event, "result", None)
    reached = {event.trial.name: result.steps} if result is not None else event.steps
    for name, steps in reached.items():
        run, trial = by_trial[name]
        if name in steps_of or result is not None:  # a resumed trial's earlier steps are not this process's
            progress.steps += steps - steps_of.get(name, 0)
        steps_of[name] = steps
        run.started(name, steps, run._work_per_step(dict(trial.hyperparameters)))
    if result is not None:
        run, trial = by_trial.pop(event.trial.name)
        run.finish(trial, result)


@contextlib.contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Optuna's own log lines would break the display."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
