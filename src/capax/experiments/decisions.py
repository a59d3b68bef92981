"""What to do next in a study: functions of its ledger and its rules alone.

Trials come in groups of half a batch, two of them open at a time. The tuner is told a group when
all its trials have ended, in the order of the groups, and only once the next group is proposed. So
what it knows at each proposal, and what a trial is compared with at a rung, follow from the numbers
of the trials and not from when they ended; and lanes work on one group while the other waits for
its last trial. Since nothing but the ledger counts, and the ledger is in the journal, a process
that is killed loses no decision.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from capax.search import stopping
from capax.search.ledger import Entry, Ledger
from capax.search.stopping import Rule


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a study is to do. `group`: trials of a group; `open_groups`: how many the tuner may not
    know yet."""

    trials: int
    reruns: int
    group: int
    open_groups: int
    stopping: Rule
    maximise: bool

    @staticmethod
    def of(trials: int, reruns: int, batch: int, rule: Rule, maximise: bool) -> "Rules":
        """Groups of half a batch."""
        group = max(1, batch // 2)
        return Rules(trials, reruns, group, batch // group, rule, maximise)

    @property
    def open_at_once(self) -> int:
        """How many tuned trials may be in training at the same time."""
        return min(self.trials, self.group * self.open_groups)


@dataclasses.dataclass(frozen=True)
class Stop:
    """End these trials at the rung where they paused."""

    numbers: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Propose:
    """Have the tuner propose so many trials."""

    count: int


@dataclasses.dataclass(frozen=True)
class Tell:
    """Tell the tuner how these trials ended."""

    numbers: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Rerun:
    """Begin so many reruns of these hyperparameters."""

    count: int
    hyperparameters: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Due:
    """A trial to be trained, up to step `pause` or to its end."""

    number: int
    rerun: bool = False
    pause: int | None = None


@dataclasses.dataclass(frozen=True)
class Train:
    """These trials are to be in training. Where there are none, nothing is to be done without a
    proposal."""

    trials: tuple[Due, ...]


@dataclasses.dataclass(frozen=True)
class Done:
    """The study is over."""


Decision = Stop | Propose | Tell | Rerun | Train | Done


def next_decision(ledger: Ledger, rules: Rules, may_propose: bool = True) -> Decision:
    """The next thing to do. All but `Train` and `Done` change the ledger; then ask again.

    `may_propose`: whether trials may be begun that the ledger does not have; if not, the answer is
    `Stop`, `Train`, or `Done`.
    """
    due, stopped = _open_trials(ledger, rules)
    if stopped:
        return Stop(stopped)
    if may_propose:
        new = _new_work(ledger, rules)
        if new is not None:
            return new
    if is_done(ledger, rules):
        return Done()
    due += tuple(Due(entry.number, rerun=True) for entry in ledger.reruns if entry.result is None)
    return Train(due)


def is_done(ledger: Ledger, rules: Rules) -> bool:
    """Whether nothing is left to train."""
    if len(ledger.tuned) < rules.trials or not all(entry.is_told for entry in ledger.tuned):
        return False
    wanted = rules.reruns if best(ledger, rules) is not None else 0
    return sum(entry.result is not None for entry in ledger.reruns) >= wanted


def best(ledger: Ledger, rules: Rules) -> Entry | None:
    """The trial with the best validation score of those trained to their end, the first of equals.

    None where none was feasible.
    """
    sign = 1 if rules.maximise else -1
    complete = [(entry, entry.result) for entry in ledger.tuned if entry.result and entry.is_complete]
    return max(complete, key=lambda pair: sign * pair[1].validation["score"], default=(None, None))[0]


def improves(ledger: Ledger, rules: Rules, number: int, score: float) -> bool:
    """Whether a trial that completes with this score becomes the best."""
    found = best(ledger, rules)
    return found is None or (_signed(score, rules), -number) > (_final(found, rules), -found.number)


def _new_work(ledger: Ledger, rules: Rules) -> Propose | Tell | Rerun | None:
    """What begins trials, or makes room for it: only where nothing can be proposed is the tuner
    told."""
    missing = _proposals(ledger, rules)
    if missing:
        return Propose(missing)
    still_open = _open(ledger, rules)
    if still_open:
        group = _groups(ledger, rules)[still_open[0]]
        ended = all(entry.result is not None for entry in group)
        return Tell(tuple(entry.number for entry in group if not entry.is_told)) if ended else None
    found = best(ledger, rules)
    if found is None or len(ledger.reruns) >= rules.reruns:
        return None
    return Rerun(rules.reruns - len(ledger.reruns), found.hyperparameters)


def _proposals(ledger: Ledger, rules: Rules) -> int:
    """How many trials to propose now: what a kill left out of a group, or a group where there is
    room for one."""
    asked = len(ledger.tuned)
    left = rules.trials - asked
    missing = min(-asked % rules.group, left)
    if missing:
        return missing
    return min(rules.group, left) if len(_open(ledger, rules)) < rules.open_groups else 0


def _groups(ledger: Ledger, rules: Rules) -> list[Sequence[Entry]]:
    return [ledger.tuned[first : first + rules.group] for first in range(0, len(ledger.tuned), rules.group)]


def _open(ledger: Ledger, rules: Rules) -> list[int]:
    """The groups that the tuner has not been told, by number."""
    return [k for k, group in enumerate(_groups(ledger, rules)) if not all(entry.is_told for entry in group)]


def _open_trials(ledger: Ledger, rules: Rules) -> tuple[tuple[Due, ...], tuple[int, ...]]:
    """Of the open groups: trials that are to be trained, and numbers of those that are to be
    stopped."""
    halved = [_halve(ledger, rules, k) for k in _open(ledger, rules)]
    return tuple(d for due, _ in halved for d in due), tuple(n for _, stopped in halved for n in stopped)


def _halve(ledger: Ledger, rules: Rules, k: int) -> tuple[list[Due], list[int]]:
    """Of group k: trials that are to be trained, and numbers of those that are to be stopped."""
    groups = _groups(ledger, rules)
    group, known = list(groups[k]), [e for earlier in groups[: max(0, k - rules.open_groups + 1)] for e in earlier]
    stopped: list[int] = []
    if len(group) < rules.group and group[-1].number < rules.trials - 1:
        return [], []  # cut short while it was proposed
    for rung in range(len(_rungs(group[0], rules))):
        scores = {entry.number: _score_at(entry, rules, rung) for entry in group}
        missing = [entry for entry in group if scores[entry.number] is None]
        if missing:
            return [Due(entry.number, pause=_rungs(entry, rules)[rung]) for entry in missing], stopped
        before = [_score_known_at(entry, rules, rung) for entry in known]
        kept = stopping.kept(
            {number: score for number, score in scores.items() if score is not None},
            [score for score in before if score is not None],
        )
        stopped += [entry.number for entry in group if entry.number not in kept and entry.result is None]
        group = [entry for entry in group if entry.number in kept]
    return [Due(entry.number) for entry in group if entry.result is None], stopped


def _rungs(entry: Entry, rules: Rules) -> tuple[int, ...]:
    return stopping.rungs(rules.stopping, entry.steps)


def _score_at(entry: Entry, rules: Rules, rung: int) -> float | None:
    """A trial's score at a rung that it was to reach, larger is better, None if it has not reached
    it yet.

    One that ended before counts with its last score, one that diverged as the worst.
    """
    reached = entry.scores.get(_rungs(entry, rules)[rung])
    if reached is not None:
        return _signed(reached, rules)
    return None if entry.result is None else _final(entry, rules)


def _score_known_at(entry: Entry, rules: Rules, rung: int) -> float | None:
    """The same of a trial that has ended: None where it was not to reach the rung; the worst where
    it diverged later."""
    rungs, result = _rungs(entry, rules), entry.result
    assert result is not None, "the tuner knows only trials that have ended"
    if result.feasible:
        stopped_before = result.stopped and rungs[rung] not in entry.scores
        return None if stopped_before else _score_at(entry, rules, rung)
    return -math.inf if rung == 0 or rungs[rung - 1] in entry.scores else None


def _final(entry: Entry, rules: Rules) -> float:
    """The last score of a trial that has ended, larger is better; the worst where it diverged."""
    assert entry.result is not None
    return _signed(entry.result.score, rules) if entry.result.feasible else -math.inf


def _signed(score: float, rules: Rules) -> float:
    return score if rules.maximise else -score
