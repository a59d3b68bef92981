"""What is benchmarked: shapes and data of each workload, in NumPy alone, so that every competitor
reads the same arrays.
"""

import dataclasses

import numpy as np

GATES = {"rnn": 1, "ugrnn": 2, "gru": 3, "lstm": 4}
USER = "user_cell:Leaky"
"""A user's cell, by the path that capax takes; its equations are those of an RNN with a leak."""


@dataclasses.dataclass(frozen=True)
class Workload:
    """`kind`: "held", one vector shown at every step, one logit at the end; "symbols", `streams`
    symbols at every step, `targets` softmaxes at each scored step; "dense", real numbers, squared
    error at every step.
    """

    name: str
    kind: str
    cells: tuple[str, ...]
    steps: int
    inputs: int
    outputs: int
    batch: int
    first: int = 0
    budget: int | None = None
    units: int | None = None
    depth: int = 1
    streams: int = 1
    targets: int = 1
    minibatch: int | None = None  # a training step takes so many of the samples, not all

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets: (i, b) and (b,); (t, s, b) and (scored t, targets, b); (t, i, b) and
        (t, o, b).
        """
        draw = np.random.default_rng(0)
        if self.kind == "held":
            return draw.integers(0, 2, (self.inputs, self.batch)).astype(np.float32), draw.integers(
                0, 2, self.batch
            ).astype(np.float32)
        if self.kind == "symbols":
            symbols = draw.integers(0, self.inputs // self.streams, (self.steps, self.streams, self.batch))
            scored = (self.steps - self.first, self.targets, self.batch)
            return symbols.astype(np.int32), draw.integers(0, self.outputs // self.targets, scored).astype(np.int32)
        x = draw.normal(size=(self.steps, self.inputs, self.batch)).astype(np.float32)
        return x, draw.normal(size=(self.steps, self.outputs, self.batch)).astype(np.float32)

    def flops(self, cell: str, units: int) -> float:
        """Floating-point operations of one training step's matrix products: forward, and twice that
        backward. Products with one-hot vectors are not counted, as they need not be made; a held
        input is multiplied once.
        """
        if cell == "lru":  # C is complex, of which the real part is wanted; B and D beside it
            step = 2 * units * units + 3 * self.inputs * units
        else:
            gates = GATES.get(cell, 1)
            seen = self.inputs if self.kind == "dense" else 0
            step = gates * units * (units + seen) + (self.depth - 1) * gates * units * 2 * units
        once = GATES.get(cell, 1) * units * self.inputs if self.kind == "held" else 0
        readout = self.outputs * units * (self.steps - self.first)
        return 3 * 2.0 * (self.minibatch or self.batch) * (self.steps * step + once + readout)


COMPARED = ("rnn", "ugrnn", "gru", "lstm", USER)


def _capacity(name: str, budget: int, cells: tuple[str, ...]) -> Workload:
    # Five samples per parameter: about what the tuner chooses.
    return Workload(name, "held", cells, 5, 20, 1, 5 * budget, first=4, budget=budget)


WORKLOADS = {
    one.name: one
    for one in (
        _capacity("capacity-1k", 1000, COMPARED),
        # A prime: each place in a round through the set is a sample.
        dataclasses.replace(_capacity("minibatches-1k", 1000, COMPARED), batch=5003, minibatch=256),
        _capacity("capacity-10k", 10_000, COMPARED),
        _capacity("capacity-100k", 100_000, ("gru",)),
        Workload("parentheses", "symbols", ("gru",), 175, 300, 100, 32, 174, units=128, streams=10, targets=10),
        Workload("text", "symbols", COMPARED, 50, 27, 27, 32, first=13, budget=50_000),
        Workload("depth-4", "symbols", ("gru", "lstm"), 50, 27, 27, 32, first=13, budget=50_000, depth=4),
        Workload("diagonal-512", "dense", ("lru",), 512, 1, 1, 32, units=64),
        Workload("diagonal-4096", "dense", ("lru",), 4096, 1, 1, 32, units=64),
    )
}
