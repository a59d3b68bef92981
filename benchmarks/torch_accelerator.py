"""The peer of accelerator.py: steps per second of one nn.GRU or nn.LSTM on the capacity task, on a
GPU where there is one.

python torch_accelerator.py gru|lstm UNITS SAMPLES SECONDS
"""

import sys
import time

import torch
from torch import nn

STEPS, INPUTS = 5, 20


def main() -> None:
    cell, units, samples, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layer = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell](INPUTS, units).to(device)
    readout = nn.Linear(units, 1).to(device)
    optimiser = torch.optim.Adam([*layer.parameters(), *readout.parameters()], lr=1e-3)
    x = torch.randint(0, 2, (samples, INPUTS), device=device).float()[None].expand(STEPS, -1, -1).contiguous()
    y = torch.randint(0, 2, (samples,), device=device).float()

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        outputs, _ = layer(x)
        nn.functional.binary_cross_entropy_with_logits(readout(outputs[-1])[:, 0], y).backward()
        optimiser.step()

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(3):
        step()
    wait()
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(10):
            step()
        wait()
        steps += 10
    print(steps / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
