"""A cell and a task of your own, checked, compared, and fitted: python examples/my_cell.py"""

import dataclasses
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import writing

import capax
from capax import Affine, Cell, affine, forget_bias, sigmoid
from capax.cli.display import choose
from capax.tasks import (
    Dense,
    Facts,
    Generated,
    Interval,
    Reporting,
    SequenceBatch,
    Sizes,
    mean_loss,
    option,
    squared_error,
)
from capax.testing import examine

OUT = "runs/my_cell"
CELL, TASK = "my_cell:MinimalGated", "my_cell:Latch"  # module:Class, as any command takes them


class MinimalGated(Cell):
    """The minimal gated unit (Zhou et al. 2016, arXiv:1603.09420): one gate where a GRU has two."""

    gate: Affine = affine("keep")  # W_h h + W_x x + b
    candidate: Affine = affine("candidate")
    forget_bias: jax.Array = forget_bias()  # a constant in the gate, which the tuner chooses

    def project(self, x):  # all that depends on the input alone: done for all steps at once
        return self.gate.project(x), self.candidate.project(x)

    def step(self, h, projected):  # one step: the new state, and the output
        gate, candidate = projected
        keep = sigmoid(self.gate.recur(h, gate) + self.forget_bias)
        c = self.s(self.candidate.recur((1 - keep) * h, candidate))  # self.s: tanh or ReLU
        h = keep * h + (1 - keep) * c
        return h, h


@dataclasses.dataclass(frozen=True)
class Latch(Generated):
    """Say at each step the number that stood beside the last mark."""

    reporting: ClassVar[Reporting] = Reporting("squared error")
    steps: int = option(40, Interval(2, 1000))  # an option, its default, and what it may be
    rate: float = option(0.1, Interval(0.0, 1.0))  # how often there is a mark

    @property
    def sizes(self):
        return Sizes(inputs=2, outputs=1, length=self.steps)

    @property
    def facts(self):  # numbers have variance 1: who says 0 is wrong by 1
        return Facts(chance=1.0, chance_loss=1.0, perfect=0.0)

    def generate(self, key, size, scalars):  # features first: (time, features, batch)
        of_numbers, of_marks = jax.random.split(key)
        number = jax.random.normal(of_numbers, (self.steps, size))
        marked = jax.random.bernoulli(of_marks, self.rate, (self.steps, size)).at[0].set(True)
        step = jnp.arange(self.steps)[:, None]
        last = jax.lax.cummax(jnp.where(marked, step, 0), axis=0)  # when the last mark was
        held = jnp.take_along_axis(number, last, axis=0)
        inputs = Dense(jnp.stack([number, marked.astype(number.dtype)], axis=1))
        return SequenceBatch(inputs, targets=held, weights=jnp.ones((self.steps, size)))

    def measure(self, outputs, batch):  # sums over a batch
        return squared_error(outputs, batch)

    def scores(self, sums):  # "score" and "loss", of these sums
        return mean_loss(sums)


def check():
    """What `capax check` says of both: a line for each fault, or that there is none."""
    for name in (CELL, TASK):
        found = examine(name)
        faults = [f"  {each.name}: {each.message}" for each in found.findings if not each.passed]
        print(f"{name}: {len(found.findings)} checks, {len(faults)} faults", *faults, sep="\n")


def compare(out, **settings):
    """The cell beside two others of the same size, on the task: examples/my_cell.toml."""
    with choose(quiet=False) as shown:
        return capax.run(str(Path(__file__).with_suffix(".toml")), out=out, display=shown, **settings)


def table(compared):
    """The mean squared error of three fresh seeds on the evaluation data, with its interval."""
    frame = compared.frame[["cell", "units", "parameters", "best", "low", "high"]]
    return frame.rename(columns={"best": "squared error"}).to_string(index=False, float_format="%.2g")


def main(out=OUT, characters=100_000, steps=2000, **settings):
    """The cell on real text, beside a GRU; `settings`: of `capax.fit`."""
    return writing.main(
        f"{out}/fit", characters, cells=("gru", CELL), **{"depth": 1, "steps": steps, "budget": 10_000, **settings}
    )


if __name__ == "__main__":
    check()
    compared = compare(f"{OUT}/compare")
    print(table(compared))
    print(f"report: {compared.path}\n")
    print(main())
