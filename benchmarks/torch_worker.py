"""A PyTorch peer of population.py: trains one trial on command. Runs in an environment with PyTorch, without capax.

    python torch_worker.py CELL nn|hand|hand-chunked|hand-compiled START.npz

Reads {"restart": bool, "steps": int} lines, answers {"loss": float or null}.
"""

import json
import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from torch import nn

CHUNK = 720
KINDS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
# The blocks of capax and PyTorch stand in the same order: one; r u c as r z n; i f c o as i f g o.
FORGET_BLOCK = {"rnn": None, "gru": 1, "lstm": 1}

torch.set_num_threads(1)
torch.set_flush_denormal(True)


class Library(nn.Module):
    """nn.RNN, nn.GRU, nn.LSTM as most people use them: (time, batch, features), the whole batch at once."""

    def __init__(self, cell: str, start: dict[str, np.ndarray]):
        super().__init__()
        units, inputs = start["recurrent"].shape[1], start["input"].shape[1]
        self.layer = KINDS[cell](inputs, units)
        self.readout = nn.Linear(units, 1)
        self.initial = nn.Parameter(tensor(start["initial"]))
        bias = start["bias"].copy()
        block = FORGET_BLOCK[cell]
        if (
            block is not None
        ):  # a constant in capax, here part of the initial bias: the same training without weight decay
            bias[block * units : (block + 1) * units] += start["forget_bias"]
        with torch.no_grad():
            self.layer.weight_hh_l0.copy_(tensor(start["recurrent"]))
            self.layer.weight_ih_l0.copy_(tensor(start["input"]))
            self.layer.bias_ih_l0.copy_(tensor(bias))
            self.layer.bias_hh_l0.zero_()
            self.readout.weight.copy_(tensor(start["readout"]))
            self.readout.bias.copy_(tensor(start["readout_bias"]))
        self.layer.bias_hh_l0.requires_grad_(False)  # one bias, as in capax

    def chunks(self, x: torch.Tensor, y: torch.Tensor, steps: int) -> list:
        return [(x.T[None].expand(steps, -1, -1).contiguous(), y)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = [state[None, None].expand(1, x.shape[1], -1).contiguous() for state in self.initial]
        outputs, _ = self.layer(x, states[0] if len(states) == 1 else tuple(states))
        return self.readout(outputs[-1])[:, 0]


class Hand(nn.Module):
    """The same cells written out, features first, with the input's product taken out of the loop."""

    def __init__(self, cell: str, start: dict[str, np.ndarray], chunk: int | None):
        super().__init__()
        for name in ("recurrent", "input", "bias", "initial", "readout", "readout_bias"):
            setattr(self, name, nn.Parameter(tensor(start[name])))
        self.forget_bias = float(start["forget_bias"])
        self.units, self.steps, self.chunk = start["recurrent"].shape[1], int(start["steps"]), chunk
        self.step = {"rnn": self.rnn, "gru": self.gru, "lstm": self.lstm}[cell]

    def chunks(self, x: torch.Tensor, y: torch.Tensor, steps: int) -> list:
        size = self.chunk or x.shape[1]
        return [(x[:, i : i + size].contiguous(), y[i : i + size]) for i in range(0, x.shape[1], size)]

    def rnn(self, state: list, projected: torch.Tensor) -> list:
        return [torch.tanh(projected + self.recurrent @ state[0])]

    def gru(self, state: list, projected: torch.Tensor) -> list:
        (h,), n = state, self.units
        gates = projected[: 2 * n] + self.recurrent[: 2 * n] @ h
        r, u = torch.sigmoid(gates[:n]), torch.sigmoid(gates[n:] + self.forget_bias)
        c = torch.tanh(projected[2 * n :] + self.recurrent[2 * n :] @ (r * h))
        return [u * h + (1 - u) * c]

    def lstm(self, state: list, projected: torch.Tensor) -> list:
        h, c = state
        i, f, g, o = torch.chunk(projected + self.recurrent @ h, 4)
        c = torch.sigmoid(f + self.forget_bias) * c + torch.sigmoid(i) * torch.tanh(g)
        return [torch.sigmoid(o) * torch.tanh(c), c]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        projected = self.input @ x + self.bias[:, None]
        state = [vector[:, None].expand(-1, x.shape[1]) for vector in self.initial]
        for _ in range(self.steps):
            state = self.step(state, projected)
        return (self.readout @ state[0] + self.readout_bias[:, None])[0]


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array, np.float32))


class Trial:
    """Full-batch Adam on the capacity task."""

    def __init__(self, cell: str, variant: str, start: dict[str, np.ndarray]):
        self.model = (
            Library(cell, start) if variant == "nn" else Hand(cell, start, None if variant == "hand" else CHUNK)
        )
        self.optimiser = torch.optim.Adam(
            [p for p in self.model.parameters() if p.requires_grad], lr=float(start["learning_rate"]), foreach=True
        )
        self.samples = start["x"].shape[1]
        self.chunks = self.model.chunks(tensor(start["x"]), tensor(start["y"]), int(start["steps"]))
        self.loss = torch.compile(self._loss) if variant == "hand-compiled" else self._loss

    def _loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.binary_cross_entropy_with_logits(self.model(x), y, reduction="sum") / self.samples

    def advance(self, steps: int) -> None:
        for _ in range(steps):
            self.optimiser.zero_grad(set_to_none=True)
            for x, y in self.chunks:
                self.loss(x, y).backward()
            self.optimiser.step()

    def evaluate(self) -> float:
        with torch.no_grad():
            return float(sum(self._loss(x, y) for x, y in self.chunks))


def main() -> None:
    cell, variant, path = sys.argv[1:]
    start = dict(np.load(path))
    trial = Trial(cell, variant, start)
    trial.advance(1)
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["restart"]:
            trial = Trial(cell, variant, start)
        trial.advance(order["steps"])
        print(json.dumps({"loss": trial.evaluate() if order["restart"] else None}), flush=True)


if __name__ == "__main__":
    main()
