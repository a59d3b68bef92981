"""One study of a run: its decisions carried out, its trials handed out, their results kept."""

import dataclasses
from collections.abc import Callable

from capax.errors import CapaxError
from capax.experiments import decisions
from capax.experiments.decisions import Done, Due, Propose, Rerun, Rules, Stop, Tell, Train
from capax.experiments.design import Experiment
from capax.experiments.plan import StudyPlan, sampler_seed, trial_seed
from capax.experiments.progress import StudyProgress
from capax.search import stopping
from capax.search.ledger import RERUNS, Entry, TrialRecord
from capax.search.store import Store
from capax.search.tuning import Tuner, Tuning
from capax.training import environment, model, processor
from capax.training.trial import Result, Trial


class StudyRun:
    """A study in a store. What it does next is decided in `decisions`; here it is done.

    `next_trials` gives the trials to be trained that are not in training; each comes back in
    `finish`. `tell` is told of each trial that has ended or paused: study, entry, whether it is a
    rerun.
    """

    def __init__(
        self,
        plan: StudyPlan,
        store: Store,
        experiment: Experiment,
        tell: Callable[[str, Entry, bool], None] = lambda study, entry, rerun: None,
    ):
        self.plan, self._store, self._seed, self._tell = plan, store, experiment.seed, tell
        self.rules = Rules.of(
            plan.trials, plan.reruns, experiment.batch, experiment.stopping, plan.task.reporting.direction == "maximise"
        )
        seed = sampler_seed(experiment.seed, plan.name)
        tuner = Tuner(experiment.sampler, seed, plan.trials, plan.space, plan.defaults)
        self._tuning = Tuning(store, plan.name, plan.task.reporting.direction, tuner)
        self._in_training: dict[str, Due] = {}
        self._may_go_on = self._may_propose = True  # whether anything happened since the last time
        self.progress = StudyProgress(plan)
        self._read()

    def _read(self) -> None:
        self.progress.update(self._tuning.ledger(), self.rules)

    def next_trials(self, may_propose: bool) -> list[Trial]:
        """Trials to be trained: those that go on, or that an earlier process left; if
        `may_propose`, new ones, too."""
        if not (self._may_propose if may_propose else self._may_go_on):
            return []
        found: list[Trial] = []
        with self._store.writing():
            while (decision := self._decide(may_propose)) is not None:
                found += self._do(decision)
        self._may_go_on = False
        self._may_propose = self._may_propose and not may_propose
        self._read()
        return found

    def _decide(self, may_propose: bool) -> decisions.Decision | None:
        """The next thing to do that is not being done; None where there is none."""
        decision = decisions.next_decision(self._tuning.ledger(), self.rules, may_propose)
        if isinstance(decision, Train):
            idle = tuple(due for due in decision.trials if self._name(due) not in self._in_training)
            return Train(idle) if idle else None
        return None if isinstance(decision, Done) else decision

    def _do(self, decision: decisions.Decision) -> list[Trial]:
        match decision:
            case Stop(numbers):
                for number in numbers:
                    self._stop(number)
            case Propose(count):
                self._tuning.propose(count)
            case Tell(numbers):
                for number in numbers:
                    self._tuning.tell(number)
            case Rerun(count, hyperparameters):
                self._tuning.rerun(count, hyperparameters)
            case Train(trials):
                return [self._trial(due) for due in trials]
            case Done():
                pass
        return []

    def _stop(self, number: int) -> None:
        """End a trial at the rung where it paused."""
        entry = self._tuning.ledger().tuned[number]
        assert entry.paused is not None, f"trial {number} has not paused"
        self._tuning.end(number, dataclasses.replace(entry.paused, stopped=True))
        self._store.checkpoint(self.plan.name, number).unlink(missing_ok=True)
        self.progress.running.pop(self._name(Due(number)), None)
        self._tell(self.plan.name, self._entry(Due(number)), False)

    def _name(self, due: Due) -> str:
        return f"{self._study(due.rerun)}/{due.number}"

    def _study(self, rerun: bool) -> str:
        return self.plan.name + (RERUNS if rerun else "")

    def _entry(self, due: Due) -> Entry:
        ledger = self._tuning.ledger()
        return (ledger.reruns if due.rerun else ledger.tuned)[due.number]

    def _trial(self, due: Due) -> Trial:
        """The trial to be trained; from now on it counts as in training."""
        hyperparameters, name = self._entry(due).hyperparameters, self._name(due)
        self._in_training[name] = due
        return Trial(
            name=name,
            task=self.plan.task,
            shape=self.plan.shape,
            hyperparameters=hyperparameters,
            steps=hyperparameters["training_steps"],
            seed=trial_seed(self._seed, self.plan.name, int(due.rerun), due.number),
            data_seed=due.number + 1 if due.rerun else 0,
            checkpoint=self._store.checkpoint(self._study(due.rerun), due.number),
            pause=due.pause,
            study=self.plan.name,
            open_at_once=self.rules.reruns if due.rerun else self.rules.open_at_once,
        )

    def finish(self, trial: Trial, result: Result) -> None:
        """Keep what came of a trial: curve, best network, then the journal, then let go of the
        checkpoint.

        Of one that paused: its curve and its score there.
        """
        due = self._in_training.pop(trial.name)
        self._may_go_on = self._may_propose = True
        record = _record(trial, result)
        self._store.save_curve(self._study(due.rerun), due.number, result.curve, result.curve_interval)
        with self._store.writing():
            if result.paused and not stopping.converged(result.validation):
                self._tuning.pause(due.number, record)
            else:
                self._end(trial, due, dataclasses.replace(record, converged=result.paused), result)
        self._read()
        self._tell(self.plan.name, self._entry(due), due.rerun)

    def tell_all(self) -> None:
        """Tell of all trials that have ended or paused, as earlier processes left them."""
        ledger = self._tuning.ledger()
        for rerun, entries in ((False, ledger.tuned), (True, ledger.reruns)):
            for entry in entries:
                self._tell(self.plan.name, entry, rerun)

    def _end(self, trial: Trial, due: Due, record: TrialRecord, result: Result) -> None:
        is_best = not due.rerun and record.feasible and self._improves(due.number, record.score)
        if is_best:
            model.save(self._store.model(self.plan.name), trial, result)
        self._tuning.end(due.number, record, due.rerun)
        if trial.checkpoint is not None:
            trial.checkpoint.unlink(missing_ok=True)
        self.progress.running.pop(trial.name, None)

    def _improves(self, number: int, score: float) -> bool:
        return decisions.improves(self._tuning.ledger(), self.rules, number, score)

    def lost_curves(self) -> int:
        """How many trials that have ended have no learning curve any more."""
        ledger, lost = self._tuning.ledger(), 0
        for rerun, entries in ((False, ledger.tuned), (True, ledger.reruns)):
            ended = [entry.number for entry in entries if entry.result is not None]
            lost += sum(not self._store.has_curve(self._study(rerun), number) for number in ended)
        return lost

    def model_fault(self) -> str | None:
        """What is wrong with the file of the best network, None where nothing is or no trial was
        feasible.
        """
        try:
            if self._best() is not None:
                model.read(self._store.model(self.plan.name))
        except CapaxError as error:
            return str(error)
        return None

    def _best(self) -> Entry | None:
        return decisions.best(self._tuning.ledger(), self.rules)

    def best_number(self) -> int:
        """The number of the best trial; only where there is one."""
        best = self._best()
        assert best is not None, f"no trial of {self.plan.name} was feasible"
        return best.number

    def best_again(self) -> Trial:
        """The best trial, to be trained once more to where it ended."""
        record = self._tuning.ledger().tuned[self.best_number()].ended
        trial = self._trial(Due(self.best_number(), pause=record.steps if record.converged else None))
        return dataclasses.replace(trial, name=f"{trial.name} again", checkpoint=None)

    def restore(self, trial: Trial, result: Result) -> str | None:
        """Keep the best network and its curve again; what is wrong, in one line, where other scores
        came out.
        """
        number, path = self.best_number(), self._store.model(self.plan.name)
        record = self._tuning.ledger().tuned[number].ended
        if dict(result.validation) != dict(record.validation):
            return (
                f"{path} cannot be restored: trained once more, trial {number} does not score the same to the bit, as on another "
                "processor or with another JAX; to have the model, begin anew in another directory with --out."
            )
        self._store.save_curve(self.plan.name, number, result.curve, result.curve_interval)
        model.save(path, trial, result)
        return None


def _record(trial: Trial, result: Result) -> TrialRecord:
    return TrialRecord(
        feasible=result.feasible,
        steps=result.steps,
        seconds=result.seconds,
        seed=trial.seed,
        validation=dict(result.validation),
        evaluation=dict(result.evaluation),
        kernel=result.kernel,
        refusal=result.refusal,
        divergence=result.divergence,
        processor=processor.name(),
        instructions=processor.instructions(),
        jaxlib=environment.version_of("jaxlib"),
    )
