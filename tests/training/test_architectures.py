"""Every kind of network trains: with kernels and without, with dropout and without, and its model
file gives it back.
"""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capax
from capax.architecture import STACK, Architecture
from capax.cells.sequence import OneHot
from capax.errors import CapaxError
from capax.networks.assembling import KINDS, blank
from capax.networks.sizing import parameters, size
from capax.tasks import Facts, Generated, Reporting, SequenceBatch, Sizes, cross_entropy, mean_loss
from capax.tasks.batch import PairBatch
from capax.training import model
from capax.training.population import Population
from capax.training.resident import Resident
from capax.training.trial import NetworkShape, Trial

SYMBOLS, LONGEST = 5, 6
BOTH = Architecture("bidirectional", embedding=3, norm=True, between=True)
PAIRS = Architecture("encoder-decoder", attention="dot", embedding=4)


@dataclasses.dataclass(frozen=True)
class Told(Generated):
    """Each symbol's right neighbour, which only a network that sees the future knows; 0 at the
    end.
    """

    reporting: ClassVar[Reporting] = Reporting("cross-entropy")
    batch_size: int = 16
    held_out: int = 40

    @property
    def sizes(self):
        return Sizes(SYMBOLS, SYMBOLS, LONGEST)

    @property
    def facts(self):
        return Facts(chance=float(np.log(SYMBOLS)), chance_loss=float(np.log(SYMBOLS)))

    def generate(self, key, size, scalars):
        drawing, lengths = self.drawn(key, size)
        behind = jnp.pad(drawing[1:], ((0, 1), (0, 0)))
        return SequenceBatch(OneHot(drawing, SYMBOLS), behind, jnp.ones((LONGEST, size)), lengths)

    def drawn(self, key, size):
        of_symbols, of_lengths = jax.random.split(key)
        lengths = jax.random.randint(of_lengths, (size,), 2, LONGEST + 1)
        symbols = jax.random.randint(of_symbols, (LONGEST, size), 0, SYMBOLS)
        return jnp.where(jnp.arange(LONGEST)[:, None] < lengths[None], symbols, 0), lengths

    def measure(self, outputs, batch):
        return {"loss": cross_entropy(outputs, batch.targets, batch.weights), "weight": jnp.sum(batch.weights)}

    def scores(self, sums):
        return mean_loss(sums)


@dataclasses.dataclass(frozen=True)
class Reversed(Told):
    """Sequences backwards."""

    def generate(self, key, size, scalars):
        symbols, lengths = self.drawn(key, size)
        places = jnp.maximum(lengths[None] - 1 - jnp.arange(LONGEST)[:, None], 0)
        targets = jnp.take_along_axis(symbols, places, axis=0)
        return PairBatch(OneHot(symbols, SYMBOLS), targets, lengths, lengths)


def make(architecture, steps=4, cell="gru", depth=1, **hyperparameters):
    task = (Reversed if architecture.kind == "encoder-decoder" else Told)()
    sizes = {"inputs": SYMBOLS, "outputs": SYMBOLS, "depth": depth, "units": 8}
    count = parameters(cell, architecture=architecture, **sizes)
    shape = NetworkShape(cell, depth, 8, count, architecture=architecture)
    return Trial("kinds", task, shape, hyperparameters, steps, seed=1)


def train(trial, batching="mapped"):
    resident = Resident(batching)
    program = resident.program(trial)
    population = Population(program, resident.data(trial), 1)
    population.add(trial)
    while population.trials:
        results = population.advance(1000)
    return program, results[0][1]


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("architecture", [STACK, BOTH, PAIRS], ids=lambda each: each.kind)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_kernels_and_the_compiled_program_train_every_kind_alike(architecture, dropout, monkeypatch):
    found = []
    for fused in ("1", "0"):
        monkeypatch.setenv("CAPAX_FUSED", fused)
        program, result = train(make(architecture, dropout=dropout))
        assert result.feasible and program.fused == (fused == "1"), program.refusal
        found.append(result)
    np.testing.assert_allclose(found[0].parameters, found[1].parameters, rtol=2e-3, atol=2e-4)
    for split in ("validation", "evaluation"):
        assert getattr(found[0], split) == pytest.approx(getattr(found[1], split), rel=1e-3)


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("architecture", [STACK, BOTH, PAIRS], ids=lambda each: each.kind)
def test_dropout_changes_training_and_follows_from_the_seed_of_the_data(architecture):
    without, some, again = (train(make(architecture, dropout=p))[1].parameters for p in (0.0, 0.3, 0.3))
    np.testing.assert_array_equal(some, again)
    assert np.abs(some - without).max() > 1e-4


def test_nothing_is_dropped_when_a_network_is_scored():
    program, result = train(make(STACK, dropout=0.5))
    trial = make(STACK, dropout=0.5)
    resident = Resident("mapped")
    state, settings = resident.program(trial).start(trial)
    state = eqx.tree_at(lambda s: s.parameters, state, jnp.asarray(result.parameters))
    scores = [program.scores(state, settings, resident.data(trial)) for _ in range(2)]
    assert scores[0] == scores[1]
    network = program.template.network(state.parameters, settings.constants)
    batches = list(trial.task.evaluation_set())
    sums = [trial.task.measure(network.run(b.inputs, 0, lengths=b.lengths), b) for b in batches]
    loss = sum(float(s["loss"]) for s in sums) / sum(float(s["weight"]) for s in sums)
    assert scores[0][1]["loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize(("architecture", "reached"), [(BOTH, 0.6), (PAIRS, 1.2)], ids=["both", "pairs"])
def test_what_only_this_kind_can_learn_is_learned(architecture, reached):
    """A stack cannot know the next symbol: ln 5 = 1.61 but for the zeros behind the end."""
    _, result = train(make(architecture, steps=400, depth=1, learning_rate=0.02))
    assert result.evaluation["loss"] < reached


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("architecture", [BOTH, PAIRS], ids=lambda each: each.kind)
def test_a_model_file_gives_every_kind_back_to_the_bit(tmp_path, architecture):
    trial = make(architecture, steps=2)
    program, result = train(trial)
    model.save(tmp_path / "m.safetensors", trial, result)
    found = capax.load(tmp_path / "m.safetensors")
    assert isinstance(found.network, KINDS[architecture.kind]) and found.card.architecture == architecture
    _, settings = program.start(trial)
    network = program.template.network(jnp.asarray(result.parameters), settings.constants)
    assert jax.tree.structure(found.network) == jax.tree.structure(network)
    for one, other in zip(jax.tree.leaves(found.network), jax.tree.leaves(network), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("architecture", [STACK, BOTH, PAIRS], ids=lambda each: each.kind)
def test_a_budget_is_of_all_parameters_of_the_kind(architecture):
    found = size("lstm", budget=2000, inputs=SYMBOLS, outputs=SYMBOLS, depth=1, architecture=architecture)
    sizes = {"inputs": SYMBOLS, "outputs": SYMBOLS, "depth": 1, "architecture": architecture}
    assert found.parameters == parameters("lstm", units=found.units, **sizes) <= 2000
    assert parameters("lstm", units=found.units + 1, **sizes) > 2000


def test_attention_without_a_decoder_is_one_clear_line():
    with pytest.raises(CapaxError, match="attention is for an encoder-decoder network, not for a stack one"):
        blank(Architecture(attention="dot"), capax.cells.get("gru"), inputs=1, outputs=1, depth=1, units=2)


def test_an_experiment_says_which_kind_of_network_it_has():
    from capax.experiments.design import load
    from capax.experiments.plan import plan

    settings = {"cells": ["gru"], "budgets": [3000], "depths": [1], "steps": 2}
    found = plan(load("parentheses", {**settings, "network": {"kind": "bidirectional", "embedding": 7}}))
    assert found.studies[0].shape.architecture == Architecture("bidirectional", embedding=7)
    assert "entry_scale" in found.studies[0].space and found.studies[0].shape.parameters <= 3000
    assert load("parentheses", {**settings, "network.norm": True}).network == Architecture(norm=True)
    with pytest.raises(CapaxError, match=r"network\.kind"):
        load("parentheses", {**settings, "network.kind": "ring"})
    with pytest.raises(CapaxError, match=r"network\.layers"):
        load("parentheses", {**settings, "network.layers": 3})
