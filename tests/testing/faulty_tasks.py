"""Tasks of every kind of fault that the checks must name, each healthy but for one thing."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from capax.cells.sequence import Dense
from capax.hyperparameters import Interval
from capax.tasks import Facts, Generated, Reporting, SequenceBatch, Sizes, mean_loss, option, squared_error

SCORED, DELAY = 5, 2


@dataclasses.dataclass(frozen=True)
class Healthy(Generated):
    """Say again what was shown `delay` steps ago."""

    reporting: ClassVar[Reporting] = Reporting("squared error")
    delay: int = option(DELAY, Interval(1, 100))
    batch_size: int = option(16, Interval(1, 10**6))
    held_out: int = option(16, Interval(1, 10**6))

    @property
    def sizes(self):
        return Sizes(inputs=1, outputs=1, length=SCORED + self.delay, first=self.delay)

    @property
    def facts(self):
        return Facts(chance=1.0, chance_loss=1.0, perfect=0.0)

    def generate(self, key, size, scalars):
        x = jax.random.normal(key, (self.length, 1, size))
        return SequenceBatch(Dense(x), x[: -self.delay, 0], jnp.ones((SCORED, size)))

    def measure(self, outputs, batch):
        return squared_error(outputs, batch)

    def scores(self, sums):
        return mean_loss(sums)


def changed(batch, **parts):
    """A batch with parts replaced."""
    kept = {name: getattr(batch, name) for name in ("inputs", "targets", "weights", "lengths")}
    return SequenceBatch(**{**kept, **parts})


class WrongSizes(Healthy):
    @property
    def sizes(self):
        return Sizes(inputs=3, outputs=1, length=SCORED + self.delay, first=self.delay)


class TargetsWithoutTime(Healthy):
    def generate(self, key, size, scalars):
        batch = super().generate(key, size, scalars)
        return changed(batch, targets=batch.targets[0])


class WeightsOfAllSteps(Healthy):
    def generate(self, key, size, scalars):
        batch = super().generate(key, size, scalars)
        return changed(batch, weights=jnp.ones((self.length, size)))


class FewSequences(Healthy):
    """Two possible sequences: healthy."""

    def generate(self, key, size, scalars):
        x = jnp.repeat(jax.random.rademacher(key, (1, 1, size), jnp.float32), self.length, axis=0)
        return SequenceBatch(Dense(x), x[: -self.delay, 0], jnp.ones((SCORED, size)))


class NanInputs(Healthy):
    def generate(self, key, size, scalars):
        batch = super().generate(key, size, scalars)
        return changed(batch, inputs=Dense(batch.inputs.values.at[0, 0, 0].set(jnp.nan)))


class NothingCounts(Healthy):
    def generate(self, key, size, scalars):
        batch = super().generate(key, size, scalars)
        return changed(batch, weights=0.0 * batch.weights)


class NumpyNoise(Healthy):
    def generate(self, key, size, scalars):
        return super().generate(jax.random.key(np.random.default_rng().integers(2**31)), size, scalars)


class IgnoresKey(Healthy):
    def generate(self, key, size, scalars):
        return super().generate(jax.random.key(0), size, scalars)


class NanLoss(Healthy):
    def measure(self, outputs, batch):
        sums = squared_error(outputs, batch)
        return {**sums, "loss": jnp.sqrt(-1.0 - sums["loss"])}


class IgnoresOutputs(Healthy):
    def measure(self, outputs, batch):
        return squared_error(jax.lax.stop_gradient(outputs), batch)


class IgnoresMask(Healthy):
    """Every second sequence does not count, and is counted."""

    def generate(self, key, size, scalars):
        batch = super().generate(key, size, scalars)
        return changed(batch, weights=batch.weights * (jnp.arange(size)[None] % 2))

    def measure(self, outputs, batch):
        return squared_error(outputs, changed(batch, weights=jnp.ones_like(batch.weights)))


class Averages(Healthy):
    def measure(self, outputs, batch):
        sums = squared_error(outputs, batch)
        return {"loss": sums["loss"] / sums["weight"], "weight": jnp.ones(())}


class NoScore(Healthy):
    def scores(self, sums):
        return {"loss": sums["loss"] / sums["weight"]}


class MissingColumn(Healthy):
    reporting: ClassVar[Reporting] = Reporting("squared error", columns=("share",))


class WrongDirection(Healthy):
    reporting: ClassVar[Reporting] = Reporting("squared error", direction="maximise")


class WrongPerfect(Healthy):
    @property
    def facts(self):
        return Facts(chance=1.0, chance_loss=1.0, perfect=0.5)


class WrongChance(Healthy):
    @property
    def facts(self):
        return Facts(chance=2.0, chance_loss=1.0, perfect=0.0)


class WrongChanceLoss(Healthy):
    @property
    def facts(self):
        return Facts(chance=1.0, chance_loss=0.2, perfect=0.0)


class HeldOutIsTraining(Healthy):
    def batch_at(self, data, split, key, index, scalars):
        return self.generate(jax.random.key(self.data_seed), self.batch_size, scalars)


class HeldOutChanges(Healthy):
    def batch_at(self, data, split, key, index, scalars):
        return self.generate(key, self.batch_size, scalars)


@dataclasses.dataclass(frozen=True)
class TakesNan(Healthy):
    factor: float = 1.0

    def __post_init__(self):
        pass


@dataclasses.dataclass(frozen=True)
class UnusedOption(Healthy):
    unused: int = option(3, Interval(1, 100))


@dataclasses.dataclass(frozen=True)
class DocumentedOption(Healthy):
    """Healthy: what the option is for cannot be seen in the data."""

    patience: int = option(3, Interval(1, 100), "How long a person waits.")


class PythonIf(Healthy):
    def measure(self, outputs, batch):
        sums = squared_error(outputs, batch)
        return sums if sums["loss"] > 0 else {**sums, "loss": -sums["loss"]}


class Raises(Healthy):
    def generate(self, key, size, scalars):
        raise RuntimeError("not today")


@dataclasses.dataclass(frozen=True)
class RaisesWhenMade(Healthy):
    def __post_init__(self):
        raise RuntimeError("not at all")
