"""What is done next, on ledgers made up here: no Optuna, no JAX, no files."""

import subprocess
import sys

import pytest

from capax.experiments.decisions import (
    Done,
    Due,
    Propose,
    Rerun,
    Rules,
    Stop,
    Tell,
    Train,
    best,
    improves,
    is_done,
    next_decision,
)
from capax.search.ledger import Entry, Ledger, TrialRecord

PLAIN = Rules.of(trials=10, reruns=2, batch=8, rule="none", maximise=True)
HALVING = Rules.of(trials=12, reruns=0, batch=12, rule="halving", maximise=True)
STEPS = 320
FIRST, SECOND, THIRD = 10, 40, 160
"""Rungs of 320 steps: 1/32, 1/8, 1/2."""


def record(score=None, stopped=False, steps=STEPS):
    """What came of a trial; it diverged where it has no score."""
    scores = {} if score is None else {"score": score}
    return TrialRecord(score is not None, steps, 1.0, seed=0, validation=scores, evaluation=scores, stopped=stopped)


def entry(number, score=None, ended=False, told=False, reached=None, stopped=False):
    """A trial; `reached`: its scores at the steps where it paused."""
    reached = reached or {}
    paused = record(*list(reached.values())[-1:], steps=max(reached)) if reached else None
    result = record(score, stopped) if ended or told else None
    return Entry(number, {"training_steps": STEPS, "x": number}, "random", reached, paused, result, told)


def tuned(*entries, reruns=()):
    return Ledger(tuple(entries), tuple(reruns))


def numbers(decision):
    assert isinstance(decision, Train)
    return [due.number for due in decision.trials]


def test_groups_are_half_a_batch_and_two_are_open():
    assert (PLAIN.group, PLAIN.open_groups, PLAIN.open_at_once) == (4, 2, 8)
    assert Rules.of(64, 0, 1, "none", True).open_at_once == 1
    assert Rules.of(5, 0, 16, "none", True).open_at_once == 5


def test_a_study_begins_with_two_groups_and_no_more():
    ledger = Ledger()
    assert next_decision(ledger, PLAIN) == Propose(4)
    ledger = tuned(*[entry(n) for n in range(4)])
    assert next_decision(ledger, PLAIN) == Propose(4)
    ledger = tuned(*[entry(n) for n in range(8)])
    assert numbers(next_decision(ledger, PLAIN)) == list(range(8))


def test_nothing_is_begun_where_it_may_not_be():
    assert next_decision(Ledger(), PLAIN, may_propose=False) == Train(())
    ended = tuned(*[entry(n, 1.0, ended=True) for n in range(4)], *[entry(n) for n in range(4, 8)])
    assert numbers(next_decision(ended, PLAIN, may_propose=False)) == [4, 5, 6, 7]


def test_the_tuner_is_told_a_group_once_all_of_it_has_ended_and_in_order():
    first = [entry(n, 1.0, ended=n != 2) for n in range(4)]
    second = [entry(n, 1.0, ended=True) for n in range(4, 8)]
    assert numbers(next_decision(tuned(*first, *second), PLAIN)) == [2]
    first[2] = entry(2, 1.0, ended=True)
    assert next_decision(tuned(*first, *second), PLAIN) == Tell((0, 1, 2, 3))


def test_the_next_group_is_proposed_before_the_tuner_is_told_the_one_after():
    told = [entry(n, 1.0, told=True) for n in range(4)]
    ended = [entry(n, 1.0, ended=True) for n in range(4, 8)]
    assert next_decision(tuned(*told, *ended), PLAIN) == Propose(2)  # 10 trials in all
    last = [entry(n) for n in range(8, 10)]
    assert next_decision(tuned(*told, *ended, *last), PLAIN) == Tell((4, 5, 6, 7))


def test_a_group_that_a_kill_cut_short_is_completed_first():
    assert next_decision(tuned(*[entry(n) for n in range(6)]), PLAIN) == Propose(2)


def test_a_group_that_a_kill_left_half_told_is_told_to_the_end():
    half = [entry(n, 1.0, told=n < 2, ended=True) for n in range(4)]
    rest = [entry(n) for n in range(4, 8)]
    assert next_decision(tuned(*half, *rest), PLAIN) == Tell((2, 3))


def test_the_best_is_rerun_when_the_tuner_knows_all():
    scores = [3.0, None, 7.0, 7.0, 1.0, 2.0, 0.0, 5.0, 6.0]
    told = [entry(n, score, told=True) for n, score in enumerate(scores)]
    last = entry(9, 4.0, ended=True)
    assert next_decision(tuned(*told, last), PLAIN) == Tell((9,))  # 8 was told before a kill
    whole = [*told, entry(9, 4.0, told=True)]
    assert next_decision(tuned(*whole), PLAIN) == Rerun(2, whole[2].hyperparameters)  # the first of equals
    reruns = [entry(0, 6.0, told=True), entry(1)]
    assert next_decision(tuned(*whole, reruns=reruns), PLAIN) == Train((Due(1, rerun=True),))
    assert next_decision(tuned(*whole, reruns=reruns[:1]), PLAIN) == Rerun(1, whole[2].hyperparameters)
    ended = [entry(0, 6.0, told=True), entry(1, None, told=True)]
    assert next_decision(tuned(*whole, reruns=ended), PLAIN) == Done()


def test_where_less_is_better_the_least_is_best():
    rules = Rules.of(trials=3, reruns=1, batch=8, rule="none", maximise=False)
    ledger = tuned(entry(0, 3.0, told=True), entry(1, 2.0, told=True), entry(2, None, told=True))
    assert best(ledger, rules).number == 1
    assert improves(ledger, rules, 2, 1.9) and not improves(ledger, rules, 2, 2.0)
    assert improves(ledger, rules, 0, 2.0)  # of equals the first


def test_a_study_in_which_everything_diverged_is_done_without_reruns():
    ledger = tuned(*[entry(n, None, told=True) for n in range(10)])
    assert next_decision(ledger, PLAIN) == Done() and is_done(ledger, PLAIN)
    assert best(ledger, PLAIN) is None


def test_more_reruns_asked_for_later_are_begun():
    ledger = tuned(*[entry(n, 1.0, told=True) for n in range(10)], reruns=[entry(n, 1.0, told=True) for n in range(2)])
    more = Rules.of(trials=10, reruns=5, batch=8, rule="none", maximise=True)
    assert is_done(ledger, PLAIN) and next_decision(ledger, more) == Rerun(3, {"training_steps": STEPS, "x": 0})


def other_group(first=6):
    return [entry(n) for n in range(first, first + 6)]


def test_trials_train_to_the_first_rung():
    decision = next_decision(tuned(*[entry(n) for n in range(6)], *other_group()), HALVING)
    assert decision == Train(tuple(Due(n, pause=FIRST) for n in range(12)))


def test_at_a_rung_trials_wait_for_the_rest_of_their_group():
    group = [entry(n, reached={FIRST: float(n)}) for n in range(5)] + [entry(5)]
    decision = next_decision(tuned(*group, *other_group()), HALVING, may_propose=False)
    assert numbers(decision)[:1] == [5] and numbers(decision)[1:] == list(range(6, 12))


def test_the_best_third_goes_on_to_the_next_rung_and_the_others_stop():
    group = [entry(n, reached={FIRST: float(n)}) for n in range(6)]
    ledger = tuned(*group, *other_group())
    assert next_decision(ledger, HALVING) == Stop((0, 1, 2, 3))
    stopped = [entry(n, float(n), ended=True, reached={FIRST: float(n)}, stopped=True) for n in range(4)]
    decision = next_decision(tuned(*stopped, *group[4:], *other_group()), HALVING)
    assert decision.trials[:2] == (Due(4, pause=SECOND), Due(5, pause=SECOND))


def test_one_that_diverged_counts_as_the_worst_and_is_never_kept():
    group = [entry(0, None, ended=True)] + [entry(n, reached={FIRST: -float(n)}) for n in range(1, 6)]
    assert next_decision(tuned(*group, *other_group()), HALVING) == Stop((3, 4, 5))
    all_wild = [entry(n, None, ended=True) for n in range(5)] + [entry(5, reached={FIRST: -9.0})]
    assert Due(5, pause=SECOND) in next_decision(tuned(*all_wild, *other_group()), HALVING).trials


def test_after_the_last_rung_a_trial_trains_to_its_end():
    group = [entry(n, reached={FIRST: 0.0, SECOND: 0.0, THIRD: 0.0}) for n in range(6)]  # ties are all kept
    decision = next_decision(tuned(*group, *other_group()), HALVING)
    assert decision.trials[:6] == tuple(Due(n) for n in range(6))


def test_a_group_is_compared_with_those_that_the_tuner_knew_when_it_was_proposed():
    """With three groups: the third knew the first alone. What the second did meanwhile changes
    nothing."""
    rules = Rules.of(trials=18, reruns=0, batch=12, rule="halving", maximise=True)
    first = [entry(n, 10.0, told=True, reached={FIRST: 10.0}, stopped=True) for n in range(6)]
    third = [entry(n, reached={FIRST: 5.0}) for n in range(12, 18)]
    for score in (0.0, 100.0):
        second = [entry(n, reached={FIRST: score}) for n in range(6, 12)]
        decision = next_decision(tuned(*first, *second, *third), rules)
        assert decision == Stop(tuple(range(12, 18)))  # the second knew nothing, and its scores are all equal


@pytest.mark.parametrize("rules", [PLAIN, HALVING])
def test_every_study_comes_to_its_end(rules):
    """Carried out in order, with every trial's score its number and each fifth trial diverging."""
    entries: dict[int, Entry] = {}
    reruns: dict[int, Entry] = {}
    for _ in range(500):
        ledger = Ledger(tuple(entries.values()), tuple(reruns.values()))
        match next_decision(ledger, rules):
            case Propose(count):
                entries |= {len(entries) + k: entry(len(entries) + k) for k in range(count)}
            case Stop(stop):
                for n in stop:
                    entries[n] = entry(n, float(n), ended=True, reached=dict(entries[n].scores), stopped=True)
            case Tell(tell):
                for n in tell:
                    old = entries[n]
                    score = old.result.score if old.result.feasible else None
                    entries[n] = entry(n, score, told=True, reached=dict(old.scores), stopped=old.result.stopped)
            case Rerun(count, _):
                reruns |= {len(reruns) + k: entry(len(reruns) + k) for k in range(count)}
            case Train(trials):
                assert trials
                due = trials[-1]
                if due.rerun:
                    reruns[due.number] = entry(due.number, 1.0, told=True)
                elif due.pause is not None and due.number % 5:
                    scores = {**entries[due.number].scores, due.pause: float(due.number)}
                    entries[due.number] = entry(due.number, reached=scores)
                else:
                    score = float(due.number) if due.number % 5 else None
                    entries[due.number] = entry(due.number, score, ended=True, reached=dict(entries[due.number].scores))
            case Done():
                break
    else:
        pytest.fail("no end")
    assert len(entries) == rules.trials and all(each.is_told for each in entries.values())
    assert len(reruns) == rules.reruns


def test_decisions_load_no_jax():
    code = "import sys; import capax.experiments.decisions; print({'jax', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
