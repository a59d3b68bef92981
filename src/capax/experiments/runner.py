"""Runs an experiment: studies -> trials -> store, resuming whatever the directory already holds.

What the tuner proposes and which trials are stopped early depends on the experiment and its seed alone, not on which trial
ended first: see `StudyRun`.
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

from capax import user_code
from capax.experiments import cost
from capax.experiments.describe import open_run
from capax.experiments.plan import Plan, StudyPlan, sampler_seed, trial_seed
from capax.experiments.progress import Display, Kept, Progress, Silent, StudyProgress
from capax.search import stopping
from capax.search.bandit import GaussianProcessBandit
from capax.search.grid import Grid
from capax.search.random import SeededRandom
from capax.search.stopping import Rule
from capax.search.store import RERUNS, Store
from capax.training import environment, processor
from capax.training.checkpoint import save_arrays
from capax.training.population import identity
from capax.training.trial import Result, Trial

LEAST_UNGUIDED = 8
"""The fewest trials before the tuner uses its model; a fifth of the study where that is more."""


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
    """One study of a run: proposes trials, takes results, decides which trials go on, knows when it is done.

    Trials come in groups of half a batch, two of them open at a time. The tuner is told a group when all its trials have
    ended, in the order of the groups, and only once the next group is proposed. So what it knows at each proposal, and what a
    trial is compared with at a rung, follow from the numbers of the trials, not from the time when they ended; and the
    lanes work on one group while the other waits for its last trial.

    All decisions are functions of what is in the store, so that a process that is killed loses none of them.
    """

    def __init__(
        self, plan: StudyPlan, store: Store, experiment_seed: int, sampler: str, batch: int, rule: Rule = "none"
    ):
        self.plan, self.store, self._seed = plan, store, experiment_seed
        self._rule: Rule = rule
        self._sign = 1 if plan.task.reporting.direction == "maximise" else -1
        self._size = max(1, batch // 2)
        self._open_at_once = batch // self._size
        seed = sampler_seed(experiment_seed, plan.name)
        self._guided = sampler == "bandit"
        # Without a model at first, but not for most of a short study: a cell has up to 27 hyperparameters.
        unguided = max(LEAST_UNGUIDED, plan.trials // 5)
        chosen = {
            "bandit": lambda: GaussianProcessBandit(seed=seed, n_startup=unguided),
            "random": lambda: SeededRandom(seed),
            "grid": lambda: Grid(plan.space),
        }[sampler]()
        self._tuning = store.study(plan.name, plan.task.reporting.direction, chosen)
        self._reruns = store.study(plan.name + RERUNS, plan.task.reporting.direction, SeededRandom(seed))
        self._outstanding: dict[str, tuple[optuna.Study, int]] = {}
        self._news = {"go on", "propose"}  # what may have something to do since a trial ended or paused
        self.progress = StudyProgress(plan)
        for study in (self._tuning, self._reruns):
            for trial in _asked(study):
                if "result" in trial.user_attrs:
                    self._count(trial, trial.user_attrs["result"], rerun=study is self._reruns)
        for trial in _asked(self._tuning):
            if (
                trial.state == TrialState.RUNNING and trial.params.keys() != plan.space.keys()
            ):  # killed while it was proposed
                self._ask(optuna.trial.Trial(self._tuning, trial._trial_id))

    def propose(self) -> list[Trial]:
        """All trials that can be trained and are not in training: those that go on or that an earlier process left, new
        ones as far as there is room, and, when all are done, reruns of the best."""
        if "propose" not in self._news:
            return []
        found = self.go_on()
        with self.store.writing():
            while self._ask_group() or self._tell_group():
                found += self._continue()
            if not self._outstanding and self.progress.done == self.plan.trials:
                found += [self._trial(self._reruns, trial) for trial in self._rerun()]
        self._news.discard("propose")
        return found

    def go_on(self) -> list[Trial]:
        """Trials that go on from the rung where they paused, or that an earlier process left; none that is new."""
        if "go on" not in self._news:
            return []
        self._news.discard("go on")
        with self.store.writing():
            return self._continue()

    def _groups(self) -> list[list[FrozenTrial]]:
        trials = _asked(self._tuning)
        return [trials[first : first + self._size] for first in range(0, len(trials), self._size)]

    def _open(self) -> list[int]:
        """The groups that the tuner has not been told, by number."""
        return [k for k, group in enumerate(self._groups()) if not all(trial.state.is_finished() for trial in group)]

    def _ask_group(self) -> bool:
        """Propose a group if there is room, or what a kill left out of one."""
        asked = len(_asked(self._tuning))
        left = self.plan.trials - asked
        missing = min(-asked % self._size, left)
        if not left or (not missing and len(self._open()) >= self._open_at_once):
            return False
        if not self._tuning.get_trials(deepcopy=False) and self._guided:
            self._tuning.enqueue_trial(self.plan.defaults)
        for _ in range(missing or min(self._size, left)):
            self._ask(self._tuning.ask())
        return True

    def _tell_group(self) -> bool:
        """Tell the tuner the first open group, if it has ended; only where `_ask_group` has nothing to propose."""
        still_open = self._open()
        if not still_open:
            return False
        group = self._groups()[still_open[0]]
        if not all("result" in trial.user_attrs for trial in group):
            return False
        for trial in group:
            if not trial.state.is_finished():
                self._tell(self._tuning, trial.number, trial.user_attrs["result"])
        return True

    def _ask(self, trial: optuna.trial.Trial) -> FrozenTrial:
        """Have every hyperparameter of the space suggested; those already suggested stay as they are."""
        for name, distribution in self.plan.space.items():
            _suggest(trial, name, distribution)
        return trial.study.get_trials(deepcopy=False)[trial.number]

    def _continue(self) -> list[Trial]:
        """Of the open groups: trials that are due for training."""
        return [trial for k in self._open() for trial in self._due(k)]

    def _due(self, k: int) -> list[Trial]:
        """Of one group: trials that are due for training; those that do not go on are stopped."""
        groups = self._groups()
        group, known = (
            groups[k],
            [trial for earlier in groups[: max(0, k - self._open_at_once + 1)] for trial in earlier],
        )
        if len(group) < self._size and group[-1].number < self.plan.trials - 1:
            return []  # cut short while it was proposed
        for rung in range(len(self._rungs(group[0]))):
            scores = {trial.number: self._score_at(trial, rung) for trial in group}
            if any(score is None for score in scores.values()):
                return self._waiting([trial for trial in group if scores[trial.number] is None], rung)
            before = [self._score_known_at(trial, rung) for trial in known]
            kept = stopping.kept(
                {number: score for number, score in scores.items() if score is not None},
                [score for score in before if score is not None],
            )
            for trial in group:
                if trial.number not in kept and "result" not in trial.user_attrs:
                    self._stop(trial)
            group = [trial for trial in group if trial.number in kept]
        return self._waiting([trial for trial in group if "result" not in trial.user_attrs], None)

    def _waiting(self, trials: list[FrozenTrial], rung: int | None) -> list[Trial]:
        """Those of these trials that are not in training, to be trained up to a rung or to their end."""
        idle = [trial for trial in trials if f"{self.plan.name}/{trial.number}" not in self._outstanding]
        return [self._trial(self._tuning, trial, None if rung is None else self._rungs(trial)[rung]) for trial in idle]

    def _rungs(self, trial: FrozenTrial) -> tuple[int, ...]:
        return stopping.rungs(self._rule, trial.params["training_steps"])

    def _score_at(self, trial: FrozenTrial, rung: int) -> float | None:
        """A trial's score at a rung that it was to reach, larger is better, None if it has not reached it yet. One that
        ended before counts with its last score, one that diverged as the worst."""
        reached = trial.intermediate_values.get(self._rungs(trial)[rung])
        if reached is not None:
            return self._sign * reached
        result = trial.user_attrs.get("result")
        if result is None:
            return None
        return self._sign * result["validation"]["score"] if result["feasible"] else -math.inf

    def _score_known_at(self, trial: FrozenTrial, rung: int) -> float | None:
        """The same of a trial that has ended: None where it was not to reach the rung; the worst, too, if it diverged later."""
        rungs, result = self._rungs(trial), trial.user_attrs["result"]
        if result["feasible"]:
            stopped_before = result.get("stopped") and rungs[rung] not in trial.intermediate_values
            return None if stopped_before else self._score_at(trial, rung)
        return -math.inf if rung == 0 or rungs[rung - 1] in trial.intermediate_values else None

    def _stop(self, trial: FrozenTrial) -> None:
        """End a trial at the rung where it paused."""
        record = {**trial.user_attrs["paused"], "stopped": True}
        self._tuning._storage.set_trial_user_attr(trial._trial_id, "result", record)
        self.store.checkpoint(self._tuning.study_name, trial.number).unlink(missing_ok=True)
        self.progress.running.pop(f"{self.plan.name}/{trial.number}", None)
        self._count(trial, record)

    def _rerun(self) -> list[FrozenTrial]:
        """The best hyperparameters on fresh seeds; none if they are done or no trial was feasible."""
        left = []
        for trial in self._reruns.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if "result" in trial.user_attrs:  # killed between writing the result and closing the trial
                self._tell(self._reruns, trial.number, trial.user_attrs["result"])
            else:
                left.append(self._ask(optuna.trial.Trial(self._reruns, trial._trial_id)))
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
        """The trial with the best validation score of those trained to their end, the first of equals; None if none was
        feasible."""
        complete = [trial for trial in _asked(self._tuning) if _is_complete(trial.user_attrs.get("result"))]
        return max(complete, key=lambda trial: self._sign * _score(trial), default=None)

    def _trial(self, study: optuna.Study, frozen: FrozenTrial, pause: int | None = None) -> Trial:
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
            pause=pause,
        )

    def started(self, name: str, steps: int, work: float) -> None:
        """Note how far a trial in training has come."""
        self.progress.running[name] = (steps, work)

    def finish(self, trial: Trial, result: Result) -> None:
        """Keep what came of a trial: curve, best network, then the journal, then let go of the checkpoint. Of one that
        paused: its curve and its score there."""
        study, number = self._outstanding.pop(trial.name)
        self._news = {"go on", "propose"}
        record = {
            "feasible": result.feasible,
            "steps": result.steps,
            "seconds": result.seconds,
            "seed": trial.seed,
            "kernel": result.kernel,
            "processor": processor.name(),
            "jaxlib": environment.version_of("jaxlib"),
            "validation": dict(result.validation),
            "evaluation": dict(result.evaluation),
        }
        self.store.save_curve(study.study_name, number, result.curve, result.curve_interval)
        frozen = study.get_trials(deepcopy=False)[number]
        if result.paused:
            if not stopping.converged(result.validation):
                with self.store.writing():
                    study._storage.set_trial_user_attr(frozen._trial_id, "paused", record)
                    study._storage.set_trial_intermediate_value(
                        frozen._trial_id, result.steps, result.validation["score"]
                    )
                return
            record["converged"] = True
        if study is self._tuning and result.feasible and self._improves(number, result.validation["score"]):
            manifest = {**identity(trial), "parameters": trial.shape.parameters, "validation": record["validation"]}
            save_arrays(self.store.model(self.plan.name), {"parameters": result.parameters}, manifest)
        with self.store.writing():
            study._storage.set_trial_user_attr(frozen._trial_id, "result", record)
            if study is self._reruns:
                self._tell(study, number, record)
        if trial.checkpoint is not None:
            trial.checkpoint.unlink(missing_ok=True)
        self.progress.running.pop(trial.name, None)
        self._count(frozen, record, rerun=study is self._reruns)

    def _improves(self, number: int, score: float) -> bool:
        best = self.best
        return best is None or (self._sign * score, -number) > (self._sign * _score(best), -best.number)

    def _tell(self, study: optuna.Study, number: int, record: dict[str, Any]) -> None:
        if record.get("stopped"):
            study.tell(number, state=TrialState.PRUNED)  # with its score at the last rung as its value
        elif record["feasible"]:
            study.tell(number, record["validation"]["score"])
        else:
            study.tell(number, state=TrialState.FAIL)

    def _count(self, trial: FrozenTrial, record: dict[str, Any], rerun: bool = False) -> None:
        progress, best = self.progress, self.progress.best
        progress.work_done += record["steps"] * self._work_per_step(trial.params)
        if rerun:
            progress.reruns += 1
            return
        progress.done += 1
        progress.stopped += bool(record.get("stopped"))
        progress.infeasible += not record["feasible"]
        if _is_complete(record):
            better = max if self._sign > 0 else min
            value = record["validation"]["score"]
            progress.best = value if math.isnan(best) else better(best, value)

    def _work_per_step(self, hyperparameters: dict[str, Any]) -> float:
        return self.plan.task.work(hyperparameters, self.plan.shape.parameters) * self.plan.shape.parameters


def _asked(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that were proposed, by number."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]


def _is_complete(result: dict[str, Any] | None) -> bool:
    """Whether a trial with this result, if any, was trained to its end and did not diverge."""
    return result is not None and result["feasible"] and not result.get("stopped")


def _score(trial: FrozenTrial) -> float:
    return trial.user_attrs["result"]["validation"]["score"]


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
    store = open_run(plan, directory, display.note)
    try:
        with _quiet_optuna():
            runs = [
                StudyRun(study, store, experiment.seed, experiment.sampler, experiment.batch, experiment.stopping)
                for study in plan.studies
            ]
            engine = make_engine()
            try:
                _loop(plan, runs, engine, Kept(directory, display))
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
    else:
        display.note(cost.statement(plan))
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
    """Let trials go on that were waiting at a rung; then keep as many waiting as train at the same time, from the first
    studies that can propose."""
    for run in runs:
        _submit(run, run.go_on(), engine, by_trial)
    for run in runs:
        if engine.waiting >= engine.capacity:
            return
        _submit(run, run.propose(), engine, by_trial)


def _submit(run: StudyRun, trials: list[Trial], engine: Engine, by_trial: dict[str, tuple[StudyRun, Trial]]) -> None:
    by_trial.update({trial.name: (run, trial) for trial in trials})
    engine.submit(trials)


def _take(
    event: Any, by_trial: dict[str, tuple[StudyRun, Trial]], progress: Progress, steps_of: dict[str, int]
) -> None:
    error = getattr(event, "error", None)
    if error is not None:
        study = by_trial[event.trials[0].name][0].plan.name
        raise user_code.explained(f"training {study}", error)
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
