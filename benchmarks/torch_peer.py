"""A PyTorch peer of population.py: trains one trial on command. Runs in an environment with
PyTorch, without capax.

    python torch_peer.py WORKLOAD CELL VARIANT START.npz

Variants: "nn", nn.RNN, nn.GRU, nn.LSTM on dense inputs; "nn-embedding", the same on a sum of
embeddings as wide as the layer (other arithmetic); "hand", cells written for speed: features first,
the input's product out of the loop, embeddings summed; "chunked", the same in the chunks of samples
that capax takes; "compiled", chunked or hand under torch.compile; for the diagonal recurrence
"split", "complex", and "reverse", a loop with its backward pass written by hand. Reads and answers
as capax_worker.py does.
"""

import json
import os
import resource
import sys
import time
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from torch import nn
from workloads import WORKLOADS, Workload

CHUNK = 720
KINDS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
# The blocks of capax and PyTorch stand in the same order: one; r u c as r z n; i f c o as i f g o.
FORGET_BLOCK = {"gru": 1, "lstm": 1}

torch.set_num_threads(1)
torch.set_flush_denormal(True)


def tensor(array: Any) -> torch.Tensor:
    array = np.asarray(array)
    return torch.from_numpy(np.array(array, np.int64 if array.dtype.kind == "i" else np.float32))


def offsets(workload: Workload) -> torch.Tensor:
    """Where each stream's symbols begin among the inputs."""
    return torch.arange(workload.streams)[None, :, None] * (workload.inputs // workload.streams)


class Library(nn.Module):
    """nn.RNN, nn.GRU, nn.LSTM as most people use them: (time, batch, features), the whole batch at
    once.
    """

    def __init__(self, workload: Workload, cell: str, start: dict[str, np.ndarray], embedding: bool):
        super().__init__()
        self.workload = workload
        units = start["recurrent0"].shape[1]
        self.embedding = nn.EmbeddingBag(workload.inputs, units, mode="sum") if embedding else None
        self.layer = KINDS[cell](units if embedding else workload.inputs, units, workload.depth)
        self.readout = nn.Linear(units, workload.outputs)
        self.initial = nn.Parameter(tensor(np.stack([start[f"initial{l}"] for l in range(workload.depth)], axis=1)))
        with torch.no_grad():
            for l in range(workload.depth):
                bias = start[f"bias{l}"].copy()
                block = FORGET_BLOCK.get(cell)
                if (
                    block is not None
                ):  # a constant in capax, here part of the initial bias: the same without weight decay
                    bias[block * units : (block + 1) * units] += start["forget_bias"]
                getattr(self.layer, f"weight_hh_l{l}").copy_(tensor(start[f"recurrent{l}"]))
                if not (embedding and l == 0):
                    getattr(self.layer, f"weight_ih_l{l}").copy_(tensor(start[f"input{l}"]))
                getattr(self.layer, f"bias_ih_l{l}").copy_(tensor(bias))
                getattr(self.layer, f"bias_hh_l{l}").zero_()
                getattr(self.layer, f"bias_hh_l{l}").requires_grad_(False)  # one bias, as in capax
            self.readout.weight.copy_(tensor(start["readout"]))
            self.readout.bias.copy_(tensor(start["readout_bias"]))

    def prepared(self, x: torch.Tensor) -> torch.Tensor:
        """What the module is fed, made before timing."""
        if self.workload.kind == "held":
            return x.T[None].expand(self.workload.steps, -1, -1).contiguous()
        if self.workload.kind == "dense":
            return x.transpose(1, 2).contiguous()
        symbols = (x + offsets(self.workload)).transpose(1, 2)  # t, b, s
        return symbols if self.embedding else nn.functional.one_hot(symbols, self.workload.inputs).sum(2).float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time, batch = x.shape[:2]
        if self.embedding is not None:
            x = self.embedding(x.reshape(time * batch, -1)).reshape(time, batch, -1)
        states = [state[:, None].expand(-1, batch, -1).contiguous() for state in self.initial]
        outputs, _ = self.layer(x, states[0] if len(states) == 1 else tuple(states))
        return self.readout(outputs[self.workload.first :]).permute(0, 2, 1)


class Hand(nn.Module):
    """The same cells written out, features first, with the input's product taken out of the
    loop.
    """

    def __init__(self, workload: Workload, cell: str, start: dict[str, np.ndarray], compiled_step: bool):
        super().__init__()
        self.workload, self.units = workload, start["recurrent0"].shape[1]
        names = [f"{name}{l}" for name in ("recurrent", "input", "bias", "initial") for l in range(workload.depth)]
        for name in (*names, "readout", "readout_bias"):
            setattr(self, name, nn.Parameter(tensor(start[name])))
        self.forget_bias = float(start["forget_bias"])
        step = {"rnn": self.rnn, "ugrnn": self.ugrnn, "gru": self.gru, "lstm": self.lstm}.get(cell, self.leaky)
        self.step = torch.compile(step) if compiled_step else step

    def prepared(self, x: torch.Tensor) -> torch.Tensor:
        return x + offsets(self.workload) if self.workload.kind == "symbols" else x

    def rnn(self, W: torch.Tensor, state: list, projected: torch.Tensor) -> list:
        return [torch.tanh(projected + W @ state[0])]

    def leaky(self, W: torch.Tensor, state: list, projected: torch.Tensor) -> list:
        return [0.5 * (state[0] + torch.tanh(projected + W @ state[0]))]

    def ugrnn(self, W: torch.Tensor, state: list, projected: torch.Tensor) -> list:
        c, g = torch.chunk(projected + W @ state[0], 2)
        c, g = torch.tanh(c), torch.sigmoid(g + self.forget_bias)
        return [c + g * (state[0] - c)]

    def gru(self, W: torch.Tensor, state: list, projected: torch.Tensor) -> list:
        (h,), n = state, self.units
        gates = projected[: 2 * n] + W[: 2 * n] @ h
        r, u = torch.sigmoid(gates[:n]), torch.sigmoid(gates[n:] + self.forget_bias)
        c = torch.tanh(projected[2 * n :] + W[2 * n :] @ (r * h))
        return [c + u * (h - c)]

    def lstm(self, W: torch.Tensor, state: list, projected: torch.Tensor) -> list:
        h, c = state
        i, f, g, o = torch.chunk(projected + W @ h, 4)
        c = torch.sigmoid(f + self.forget_bias) * c + torch.sigmoid(i) * torch.tanh(g)
        return [torch.sigmoid(o) * torch.tanh(c), c]

    def projected(self, l: int, x: torch.Tensor) -> torch.Tensor:
        W, b = getattr(self, f"input{l}"), getattr(self, f"bias{l}")[:, None]
        if l == 0 and self.workload.kind == "symbols":
            time, streams, batch = x.shape
            bags = x.transpose(1, 2).reshape(time * batch, streams)
            return nn.functional.embedding_bag(bags, W.T, mode="sum").reshape(time, batch, -1).transpose(1, 2) + b
        return W @ x + b

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        held, steps = self.workload.kind == "held", self.workload.steps
        for l in range(self.workload.depth):
            projected = self.projected(l, x)
            state = [vector[:, None].expand(-1, x.shape[-1]) for vector in getattr(self, f"initial{l}")]
            outputs, W = [], getattr(self, f"recurrent{l}")
            for t in range(steps):
                state = self.step(W, state, projected if held else projected[t])
                outputs.append(state[0])
            last = l + 1 == self.workload.depth
            x = torch.stack(outputs[self.workload.first if last else 0 :])
        return self.readout @ x + self.readout_bias[:, None]


class Reverse(torch.autograd.Function):
    """h_t = lambda h_{t-1} + u_t over time, with the same loop backward."""

    @staticmethod
    def forward(context: Any, lam: torch.Tensor, drive: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        h, before = torch.empty_like(drive), first
        for u, out in zip(drive.unbind(0), h.unbind(0), strict=True):
            torch.addcmul(u, lam, before, out=out)
            before = out
        context.save_for_backward(lam, h, first)
        return h

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple:
        lam, h, first = context.saved_tensors
        delta, after, conj = torch.empty_like(h), torch.zeros_like(h[0]), lam.conj().resolve_conj()
        for g, out in zip(reversed(gradients[0].resolve_conj().unbind(0)), reversed(delta.unbind(0)), strict=True):
            torch.addcmul(g, conj, after, out=out)
            after = out
        of_lam = (delta[1:] * h[:-1].conj()).sum((0, 2)) + (delta[0] * first.conj()).sum(1)
        return of_lam[:, None], delta, conj * delta[0]


class Diagonal(nn.Module):
    """The LRU as a loop over time."""

    def __init__(self, workload: Workload, start: dict[str, np.ndarray], variant: str):
        super().__init__()
        self.variant = variant
        names = ("initial", "w_nu", "w_theta", "w_gamma", "B_real", "B_imaginary", "C_real", "C_imaginary", "D")
        for name in names:
            setattr(self, name, nn.Parameter(tensor(start[f"{name}0"])))
        for name in ("readout", "readout_bias"):
            setattr(self, name, nn.Parameter(tensor(start[name])))

    def prepared(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gamma, n = torch.exp(self.w_gamma)[:, None], len(self.w_nu)
        modulus, phase = torch.exp(-torch.exp(self.w_nu)), torch.exp(self.w_theta)
        a, b = (modulus * torch.cos(phase))[:, None], (modulus * torch.sin(phase))[:, None]
        drive = torch.cat([gamma * self.B_real, gamma * self.B_imaginary]) @ x
        first = self.initial[:, :, None].expand(-1, -1, x.shape[-1])
        if self.variant == "split":
            (re, im), pairs = first, []
            for u in drive.unbind(0):
                re, im = torch.addcmul(u[:n], a, re) - b * im, torch.addcmul(torch.addcmul(u[n:], a, im), b, re)
                pairs.append(torch.cat([re, im]))
            h = torch.stack(pairs)
        else:
            lam, u = torch.complex(a, b), torch.complex(drive[:, :n], drive[:, n:])
            state = torch.complex(first[0], first[1]).contiguous()
            if self.variant == "reverse":
                complex_h = Reverse.apply(lam, u, state)
            else:
                states = []
                for drive_t in u.unbind(0):
                    state = torch.addcmul(drive_t, lam, state)
                    states.append(state)
                complex_h = torch.stack(states)
            h = torch.cat([complex_h.real, complex_h.imag], 1)
        outputs = torch.cat([self.C_real, -self.C_imaginary], 1) @ h + self.D @ x
        return self.readout @ outputs + self.readout_bias[:, None]


class Trial:
    """Adam on one fixed batch, or on minibatches of it, in the order that capax wrote down."""

    def __init__(self, workload: Workload, cell: str, variant: str, start: dict[str, np.ndarray]):
        self.workload = workload
        # A long loop is not unrolled by torch.compile in any bearable time: there its step is
        # compiled.
        short = workload.steps <= 16
        if cell == "lru":
            self.model: Any = Diagonal(workload, start, variant)
        elif variant.startswith("nn"):
            self.model = Library(workload, cell, start, variant == "nn-embedding")
        else:
            self.model = Hand(workload, cell, start, variant == "compiled" and not short)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(parameters, lr=float(start["learning_rate"]), foreach=True)
        self.rows, self.labels = tensor(start["x"]).T.contiguous(), tensor(start["y"])  # held: (b, i) and (b,)
        self.order = tensor(start["order"]).long() if workload.minibatch else None
        self.done = 0
        x, y = self.model.prepared(tensor(start["x"])), tensor(start["y"])
        held = workload.kind == "held"
        self.weight = y.shape[0] if held else y.shape[0] * y.shape[-1]
        size = CHUNK if held and variant in ("chunked", "compiled") and not workload.minibatch else y.shape[-1]
        self.chunks = [(x, y)]
        if size < y.shape[-1]:
            self.chunks = [(x[:, i : i + size].contiguous(), y[i : i + size]) for i in range(0, y.shape[0], size)]
        self.loss = torch.compile(self._loss) if variant == "compiled" and short else self._loss

    def _loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        outputs = self.model(x)  # (t, o, b)
        if self.workload.kind == "held":
            weight = self.workload.minibatch if len(y) == self.workload.minibatch else self.weight
            return nn.functional.binary_cross_entropy_with_logits(outputs[-1, 0], y, reduction="sum") / weight
        if self.workload.kind == "dense":
            return ((outputs - y) ** 2).sum() / self.weight
        t, o, b = outputs.shape
        logits = outputs.reshape(t, self.workload.targets, o // self.workload.targets, b).transpose(1, 2)
        return nn.functional.cross_entropy(logits, y, reduction="sum") / self.weight

    def advance(self, steps: int) -> None:
        for _ in range(steps):
            self.optimiser.zero_grad(set_to_none=True)
            for x, y in self.chunks if self.order is None else [self.minibatch()]:
                self.loss(x, y).backward()
            self.optimiser.step()

    def minibatch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The samples of the next step."""
        assert self.order is not None
        chosen = self.order[self.done % len(self.order)]
        self.done += 1
        return self.model.prepared(self.rows[chosen].T), self.labels[chosen]

    def evaluate(self) -> float:
        with torch.no_grad():
            return float(sum(self._loss(x, y) for x, y in self.chunks))


def main() -> None:
    name, cell, variant, path = sys.argv[1:]
    workload, start = WORKLOADS[name], dict(np.load(path))
    trial = Trial(workload, cell, variant, start)
    began = time.perf_counter()
    trial.advance(1)
    print(json.dumps({"compile_seconds": time.perf_counter() - began}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["restart"]:
            trial = Trial(workload, cell, variant, start)
        trial.advance(order["steps"])
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"loss": trial.evaluate() if order["restart"] else None, "memory": memory}), flush=True)


if __name__ == "__main__":
    main()
