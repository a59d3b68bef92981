"""Sequences of several lengths train as they would alone: what stands behind a length has no
say.
"""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from capax.cells.contract import quickly
from capax.cells.sequence import Dense
from capax.networks.parts import trainable
from capax.networks.sizing import parameters as count
from capax.tasks import Facts, Generated, Reporting, SequenceBatch, Sizes, mean_loss, option, squared_error
from capax.training.population import Population
from capax.training.resident import Resident
from capax.training.trial import NetworkShape, Trial

LONGEST = 4


@dataclasses.dataclass(frozen=True)
class Ragged(Generated):
    """Running means of noise, of 1 to 4 steps; behind them `padding` more, and NaN wherever nothing
    is real.
    """

    reporting: ClassVar[Reporting] = Reporting("squared error")
    padding: int = option(0)
    batch_size: int = 16
    held_out: int = 40

    @property
    def sizes(self) -> Sizes:
        return Sizes(inputs=1, outputs=1, length=LONGEST + self.padding)

    @property
    def facts(self) -> Facts:
        return Facts(chance=1.0, chance_loss=1.0)

    def generate(self, key, size, scalars):
        value_key, length_key = jax.random.split(key)
        x = jax.random.normal(value_key, (LONGEST, size))
        lengths = jax.random.randint(length_key, (size,), 1, LONGEST + 1)
        means = jnp.cumsum(x, axis=0) / jnp.arange(1, LONGEST + 1)[:, None]
        x, means = (jnp.pad(part, ((0, self.padding), (0, 0))) for part in (x, means))
        x = jnp.where(jnp.arange(self.length)[:, None] < lengths[None], x, jnp.nan)
        return SequenceBatch(Dense(x[:, None]), means, jnp.ones((self.length, size)), lengths)

    def measure(self, outputs, batch):
        return squared_error(outputs, batch)

    def scores(self, sums):
        return mean_loss(sums)


def make(task, cell, steps):
    parameters = count(cell, inputs=1, outputs=1, units=8, depth=1)
    given = {
        "optimiser": "sgd",
        "learning_rate": 0.05,
        "learning_rate_decay": 1.0,
        "gradient_clip": 1e9,
        "l2_decay": 0.0,
    }
    return Trial("ragged", task, NetworkShape(cell, 1, 8, parameters), given, steps, seed=1)


def train(trial, batching):
    resident = Resident(batching)
    population = Population(resident.program(trial), resident.data(trial), 1)
    population.add(trial)
    while population.trials:
        results = population.advance(100)
    return results[0][1]


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize(
    ("cell", "batching", "kernels"),
    [
        ("lstm", "mapped", True),
        ("lstm", "mapped", False),
        ("lru", "mapped", True),
        ("transformer", "mapped", False),
        ("gru", "vectorised", False),
        ("lru", "vectorised", False),
    ],
)
def test_padding_changes_nothing_in_training_and_in_scores(cell, batching, kernels, monkeypatch):
    monkeypatch.setenv("CAPAX_FUSED", "1" if kernels else "0")
    short, long = (train(make(Ragged(padding=padding), cell, steps=4), batching) for padding in (0, 3))
    assert short.feasible and long.feasible
    np.testing.assert_allclose(long.parameters, short.parameters, rtol=1e-4, atol=1e-6)
    for split in ("validation", "evaluation"):
        assert getattr(long, split) == pytest.approx(getattr(short, split), rel=1e-4)


@pytest.mark.parametrize("cell", ["lstm", "lru", "transformer-encoder"])
def test_a_step_takes_the_gradient_of_the_sequences_alone(cell):
    """One step of SGD against the mean over all real steps, from sequences of one length at a time,
    which are given no lengths.
    """
    trial = make(Ragged(padding=3), cell, steps=1)
    program = Resident("mapped").program(trial)
    state, settings = program.start(trial)
    network = program.template.network(state.parameters, settings.constants)
    trained, fixed = eqx.partition(network, trainable(network))
    key = jax.random.fold_in(jax.random.wrap_key_data(settings.data_key), 0)
    batch = trial.task.batch_at((), "train", jax.random.fold_in(key, 0), jnp.asarray(0), {}).public(0)
    assert len(set(np.asarray(batch.lengths))) > 2

    def loss(trained):
        whole, total = eqx.combine(trained, fixed), 0.0
        for length in np.unique(np.asarray(batch.lengths)).tolist():
            x, targets = (part[np.asarray(batch.lengths) == length, :length] for part in (batch.inputs, batch.targets))
            total += jnp.sum((whole(x)[..., 0] - targets) ** 2)
        return total / jnp.sum(batch.lengths)

    expected = state.parameters - 0.05 * ravel_pytree(quickly(jax.grad(loss))(trained))[0]
    # Sums in another order, in single precision.
    np.testing.assert_allclose(train(trial, "mapped").parameters, expected, rtol=1e-4, atol=2e-6)


def test_the_mask_of_a_public_batch_ends_where_its_sequences_do():
    batch = Ragged(padding=2).batch(jax.random.key(0), 9)
    real = np.arange(LONGEST + 2)[None, :] < np.asarray(batch.lengths)[:, None]
    np.testing.assert_array_equal(batch.mask, real.astype(np.float32))
    outputs = jnp.where(real, batch.targets, 1e6)[..., None]
    assert Ragged(padding=2).score(outputs, batch) == 0.0
