"""Programs and data in memory: shared by studies, as many after many studies as after one."""

import gc
import weakref

import jax
import pytest

from capax import networks, tasks
from capax.training.engine import Finished
from capax.training.program import Program
from capax.training.resident import Resident
from capax.training.trial import NetworkShape, Trial
from capax.training.worker import Worker


def make_trial(study, cell="rnn", budget=3000, task="text", nonlinearity="tanh", **options):
    chosen = tasks.get(task, **options)
    size = networks.size(cell, budget=budget, inputs=chosen.inputs, outputs=chosen.outputs)
    shape = NetworkShape(cell, 1, size.units, size.parameters)
    return Trial("t", chosen, shape, {"nonlinearity": nonlinearity}, steps=2, seed=0, study=study)


def test_studies_share_data_that_do_not_depend_on_the_network():
    """What the full text8 preset does: many cells, sizes, and nonlinearities, one text."""
    resident = Resident("mapped")
    several = [
        make_trial(f"{cell}{budget}", cell, budget) for cell in ("rnn", "gru", "lstm") for budget in (3000, 5000, 8000)
    ]
    first = resident.data(several[0])
    assert all(resident.data(trial) is first for trial in several)
    assert resident.copies_of_data == 1
    assert resident.data(make_trial("other", window=40)) is not first


def test_data_that_depend_on_the_number_of_parameters_are_not_shared():
    resident = Resident("mapped")
    small, large = (make_trial(str(budget), budget=budget, task="capacity") for budget in (200, 400))
    assert resident.data(small)[0].shape[1] < resident.data(large)[0].shape[1]
    assert resident.copies_of_data == 2


def test_what_no_study_holds_is_dropped_and_what_one_holds_stays():
    resident = Resident("mapped")
    tanh, relu = (make_trial("a", nonlinearity=kind) for kind in ("tanh", "relu"))
    other = make_trial("b")
    made = [weakref.ref(resident.program(trial)) for trial in (tanh, relu)]
    assert resident.program(other) is made[0]()
    resident.release("a")
    gc.collect()
    assert made[0]() is not None and made[1]() is None
    assert resident.programs == [other.program_key]
    resident.release("b")
    gc.collect()
    assert made[0]() is None and not resident.programs and not resident.copies_of_data


def compiled_programs():
    """How much compiled code of programs is in memory; JAX's own small operations do not count."""
    code = jax.devices()[0].client.live_executables()
    return sum(each.hlo_modules()[0].name in ("jit__advance", "jit__evaluate") for each in code)


def test_memory_is_flat_over_many_studies(monkeypatch):
    """Programs and arrays that live after each study, counted: not more after the last than after
    the first."""
    monkeypatch.setenv("CAPAX_FUSED", "0")
    resident = Resident("mapped")
    worker, alive = Worker(resident), []
    for number in range(4):
        for nonlinearity in ("tanh", "relu"):
            trial = make_trial(f"study {number}", budget=120 + 20 * number, task="capacity", nonlinearity=nonlinearity)
            events = list(worker.train([trial]))
            while worker.trials:
                events += worker.train([])
            assert isinstance(events[-1], Finished)
        del events
        assert len(resident.programs) == 2 and resident.copies_of_data == 1 and compiled_programs() >= 4
        resident.release(trial.study)
        gc.collect()
        programs = sum(isinstance(each, Program) for each in gc.get_objects())
        alive.append((programs, compiled_programs(), len(jax.live_arrays())))
    assert [(programs, compiled) for programs, compiled, _ in alive] == [alive[0][:2]] * 4
    assert all(arrays <= alive[0][2] for _, _, arrays in alive)


def test_an_error_while_a_program_is_made_reaches_all_that_wait_for_it():
    resident = Resident("mapped")
    trial = make_trial("s", budget=120, task="capacity")
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr("capax.training.resident.Program", lambda *_: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                resident.program(trial)
    assert isinstance(resident.program(trial), Program)
