"""A study in a store: its tuner proposes trials, results go in, its ledger comes out. All that
writes by Optuna is here."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from capax.search.bandit import GaussianProcessBandit
from capax.search.entries import PAUSED, PROPOSED_BY, RESULT, entry_of, record_to_json
from capax.search.grid import Grid
from capax.search.ledger import RERUNS, Entry, Ledger, ProposedBy, TrialRecord
from capax.search.random import SeededRandom
from capax.search.space import Space
from capax.search.store import Store

LEAST_UNGUIDED = 4
"""The fewest trials before the tuner uses its model; a fifth of the study where that is more.

Measured (18 mixed dimensions, 24 problems, two groups of two open): after 16 trials the best loss
is .31 with 4 and .36 with 8, after 12 .37 and .39, after 8 the same within its error."""

Sampler = Literal["bandit", "random", "grid"]


@dataclasses.dataclass(frozen=True)
class Tuner:
    """Who proposes: `sampler`; `seed`; for how many `trials`; of which `space`; `first`, the first
    proposal of a bandit."""

    sampler: Sampler
    seed: int
    trials: int
    space: Space
    first: Mapping[str, Any]

    def make(self) -> optuna.samplers.BaseSampler:
        """The sampler. A bandit has no model at first, but not for most of a short study: a cell
        has up to 27 hyperparameters."""
        match self.sampler:
            case "bandit":
                return GaussianProcessBandit(seed=self.seed, n_startup=max(LEAST_UNGUIDED, self.trials // 5))
            case "random":
                return SeededRandom(self.seed)
            case "grid":
                return Grid(self.space)


class Tuning:
    """The trials of one study, tuned ones and reruns, in a store that this process has locked.

    What a killed process left half written is completed when the study is opened: a proposal that
    lacks hyperparameters, a rerun whose result was not told.
    """

    def __init__(self, store: Store, name: str, direction: Literal["maximise", "minimise"], tuner: Tuner):
        self._store, self._storage, self._tuner = store, store.storage, tuner
        self._told: dict[str, list[Entry]] = {}  # by study
        with store.writing():
            self._tuned = _study(self._storage, name, direction, tuner.make())
            self._reruns = _study(self._storage, name + RERUNS, direction, SeededRandom(tuner.seed))
            self._complete(self._tuned)
            self._complete(self._reruns)
            for entry in self.ledger().reruns:
                if entry.result is not None and not entry.is_told:
                    self._tell(self._reruns, entry.number, entry.result)
            store.flush()

    def ledger(self) -> Ledger:
        """The trials as they stand."""
        return Ledger(self._entries(self._tuned), self._entries(self._reruns))

    def propose(self, count: int) -> None:
        """Have the tuner propose trials; a bandit's first one is given."""
        if self._tuner.sampler == "bandit" and not self._tuned.get_trials(deepcopy=False):
            self._tuned.enqueue_trial(dict(self._tuner.first), user_attrs={PROPOSED_BY: "default"})
        for _ in range(count):
            self._suggest(self._tuned.ask(), self._tuned)
        self._store.flush()

    def rerun(self, count: int, hyperparameters: Mapping[str, Any]) -> None:
        """Begin reruns of these hyperparameters."""
        waiting = len(self._reruns.get_trials(deepcopy=False, states=(TrialState.WAITING,)))  # of a killed process
        for number in range(count):
            if number >= waiting:
                self._reruns.enqueue_trial(dict(hyperparameters), user_attrs={PROPOSED_BY: "best"})
            self._suggest(self._reruns.ask(), self._reruns)
        self._store.flush()

    def pause(self, number: int, record: TrialRecord) -> None:
        """Keep what a tuned trial is worth where it paused."""
        trial_id = self._id(self._tuned, number)
        self._storage.set_trial_user_attr(trial_id, PAUSED, record_to_json(record))
        self._storage.set_trial_intermediate_value(trial_id, record.steps, record.score)
        self._store.flush()

    def end(self, number: int, record: TrialRecord, rerun: bool = False) -> None:
        """Keep how a trial ended; of a tuned one the tuner is not told yet."""
        study = self._reruns if rerun else self._tuned
        self._storage.set_trial_user_attr(self._id(study, number), RESULT, record_to_json(record))
        if rerun:
            self._tell(study, number, record)
        self._store.flush()

    def tell(self, number: int) -> None:
        """Tell the tuner how a trial ended, which `end` has kept."""
        (entry,) = [entry for entry in self._entries(self._tuned) if entry.number == number]
        assert entry.result is not None, f"trial {number} has not ended"
        self._tell(self._tuned, number, entry.result)
        self._store.flush()

    @staticmethod
    def _tell(study: optuna.Study, number: int, record: TrialRecord) -> None:
        match record.state:
            case "stopped":
                study.tell(number, state=TrialState.PRUNED)  # with its score at the last rung as its value
            case "complete":
                study.tell(number, record.score)
            case "infeasible":
                study.tell(number, state=TrialState.FAIL)

    def _complete(self, study: optuna.Study) -> None:
        """Finish the proposals that a killed process left without some of their hyperparameters."""
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.params.keys() != self._tuner.space.keys() or PROPOSED_BY not in trial.user_attrs:
                self._suggest(optuna.trial.Trial(study, self._id(study, trial.number)), study)

    def _suggest(self, trial: optuna.trial.Trial, study: optuna.Study) -> None:
        """Have every hyperparameter of the space suggested, and note by whom; those already
        suggested stay as they are."""
        for name, distribution in self._tuner.space.items():
            _suggest(trial, name, distribution)
        if PROPOSED_BY not in trial.user_attrs:
            trial.set_user_attr(PROPOSED_BY, _proposed_by(study, trial.number))

    def _entries(self, study: optuna.Study) -> tuple[Entry, ...]:
        """A study's trials that were proposed. Those that the tuner was told, up to the first that
        it was not, are read once: they are most of a long study, and change no more.
        """
        trials, told = study.get_trials(deepcopy=False), self._told.setdefault(study.study_name, [])
        while len(told) < len(trials) and trials[len(told)].state.is_finished():
            told.append(entry_of(trials[len(told)]))
        open_ = (entry_of(trial) for trial in trials[len(told) :] if trial.state != TrialState.WAITING)
        return *told, *open_

    def _id(self, study: optuna.Study, number: int) -> int:
        study_id = self._storage.get_study_id_from_name(study.study_name)
        return self._storage.get_trial_id_from_study_id_trial_number(study_id, number)


def _proposed_by(study: optuna.Study, number: int) -> ProposedBy:
    """Who proposes a trial for which nothing was given, with what the study knows now."""
    match study.sampler:
        case GaussianProcessBandit() as bandit:
            return "model" if bandit.has_model(study, number) else "random"
        case Grid():
            return "grid"
        case _:
            return "random"


def _study(
    storage: BaseStorage, name: str, direction: Literal["maximise", "minimise"], sampler: optuna.samplers.BaseSampler
) -> optuna.Study:
    """The study of this name, made if it is new."""
    if any(study.study_name == name for study in storage.get_all_studies()):
        return optuna.load_study(study_name=name, storage=storage, sampler=sampler)
    towards = "maximize" if direction == "maximise" else "minimize"
    with _quiet():
        return optuna.create_study(study_name=name, storage=storage, sampler=sampler, direction=towards)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna's own log lines would break the display."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _suggest(trial: optuna.trial.Trial, name: str, distribution: BaseDistribution) -> None:
    match distribution:
        case CategoricalDistribution():
            trial.suggest_categorical(name, distribution.choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            trial.suggest_int(name, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            trial.suggest_float(name, low, high, step=step, log=log)
        case _:
            raise TypeError(f"{name}: unknown distribution {distribution}")
