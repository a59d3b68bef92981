"""Workers: what they tell, how large their populations are, and that they give what a population
gives."""

import dataclasses
import itertools

import numpy as np
import pytest

from capax import networks, tasks
from capax.training.engine import Compiled, Compiling, Finished, Progressed
from capax.training.resident import Resident
from capax.training.trial import NetworkShape, Trial
from capax.training.worker import Worker, slots


def make_trials(number, **changes):
    task = tasks.get("capacity")
    size = networks.size("rnn", budget=100, inputs=task.inputs, outputs=task.outputs)
    shape = NetworkShape("rnn", 1, size.units, size.parameters)
    hyperparameters = {"nonlinearity": "tanh", "samples_per_parameter": 2.0}
    first = Trial("0", task, shape, hyperparameters, steps=40, seed=0, study="s", **changes)
    return [dataclasses.replace(first, name=str(seed), seed=seed, steps=40 + seed) for seed in range(number)]


def train(worker, waiting):
    """All events of a worker that is given trials as it has room for them."""
    events = []
    while waiting or worker.trials:
        started = worker.choose(waiting)
        waiting = [trial for trial in waiting if trial not in started]
        events += worker.train(started)
    return events


def results(events):
    return {event.trial.name: event.result for event in events if isinstance(event, Finished)}


@pytest.fixture(scope="module")
def resident():
    return Resident("mapped")


@pytest.fixture(scope="module")
def mapped(resident):
    return train(Worker(resident), make_trials(5))


def test_every_trial_ends_once_and_compiling_is_told_before_the_first_step(mapped):
    finished = [event.trial.name for event in mapped if isinstance(event, Finished)]
    assert sorted(finished) == [str(number) for number in range(5)]
    kinds = [type(event) for event in mapped]
    first = kinds.index(Progressed)
    assert kinds[:first].count(Compiling) == kinds[:first].count(Compiled) == 2  # the program, then its code
    assert not {Compiling, Compiled} & set(kinds[first:])
    assert isinstance(mapped[0], Compiling) and mapped[0].program.startswith("rnn on capacity (")


def test_progress_counts_every_step_and_all_work_once(mapped):
    progressed = [event for event in mapped if isinstance(event, Progressed)]
    trials = make_trials(5)
    assert sum(event.trial_steps for event in progressed) == sum(trial.steps for trial in trials)
    assert sum(event.work for event in progressed) == pytest.approx(sum(trial.work for trial in trials))
    assert all(event.seconds > 0 for event in progressed)


def test_a_long_trial_has_its_first_checkpoint_within_two_seconds_of_training(resident, tmp_path):
    (trial,) = make_trials(1, checkpoint=tmp_path / "0.safetensors")
    worker = Worker(resident)
    trained, started = 0.0, [dataclasses.replace(trial, steps=10_000_000)]
    while not trial.checkpoint.exists():
        for event in worker.train(started):
            trained += event.seconds if isinstance(event, Progressed) else 0.0
        started = []
    assert trained < 2.0


def test_compiling_is_no_part_of_a_trials_seconds(mapped):
    told = sum(event.seconds for event in mapped if isinstance(event, Compiled))
    assert told > max(result.seconds for result in results(mapped).values())


@pytest.mark.parametrize(
    ("open_at_once", "expected"), [(1, 1), (2, 2), (3, 4), (5, 8), (8, 8), (16, 16), (17, 32), (64, 64), (200, 64)]
)
def test_a_vectorised_population_is_as_large_as_the_trials_that_may_be_open(open_at_once, expected):
    (trial,) = make_trials(1, open_at_once=open_at_once)
    assert slots(trial, "vectorised") == expected
    assert slots(trial, "mapped") == 1


def test_vectorised_workers_fill_their_population_and_agree_with_mapped_ones_to_rounding(mapped):
    worker = Worker(Resident("vectorised"))
    trials = make_trials(5, open_at_once=5)
    other = dataclasses.replace(trials[0], name="other", hyperparameters={"nonlinearity": "relu"})
    assert worker.choose([trials[0], other, *trials[1:]]) == trials  # all of one program, whatever waits in between
    events = iter(worker.train(trials))
    told = list(itertools.takewhile(lambda event: not isinstance(event, Progressed), events))
    assert worker._population is not None and worker._population.size == 8
    found = results([*told, *events, *train(worker, [])])
    for name, result in results(mapped).items():
        np.testing.assert_allclose(found[name].curve, result.curve, rtol=2e-3)
        assert found[name].refusal == "kernels are for CPUs, one trial after the other"


def test_a_vectorised_trial_is_the_same_to_the_bit_with_other_companions():
    resident = Resident("vectorised")
    trials = make_trials(5, open_at_once=5)
    together, alone = (results(train(Worker(resident), some)) for some in (trials, trials[3:4]))
    np.testing.assert_array_equal(together["3"].parameters, alone["3"].parameters)


def test_a_worker_that_waits_keeps_no_program_alive(resident):
    worker = Worker(resident)
    train(worker, make_trials(1))
    assert worker._population is None
