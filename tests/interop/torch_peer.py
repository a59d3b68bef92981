"""PyTorch itself, run in .venv-torch without capax: `python torch_peer.py IN.npz OUT.npz`.

Reads, for each case such as "gru 2 1" (kind, depth, directions), a state dict of a module `Net`,
sequences, and lengths. Writes what the module gives for them, and the outputs and the state dict of
one with PyTorch's own initial weights.
"""

import sys

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Net(nn.Module):
    def __init__(self, case, depth, directions, inputs, units, outputs):
        super().__init__()
        kind = {"rnn": nn.RNN, "relu": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[case]
        options = {"nonlinearity": "relu"} if case == "relu" else {}
        self.rnn = kind(inputs, units, depth, bidirectional=directions == 2, batch_first=True, **options)
        self.head = nn.Linear(directions * units, outputs)
        self.states = None

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = pad_packed_sequence(self.rnn(packed, self.states)[0], batch_first=True, total_length=x.shape[1])
        real = torch.arange(x.shape[1])[None, :, None] < lengths[:, None, None]
        return torch.where(real, self.head(hidden), 0.0)


def main(given, to):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    given, found = np.load(given), {}
    x, lengths = torch.from_numpy(given["x"]), torch.from_numpy(given["lengths"])
    cases = {name.split("|")[0] for name in given.files if "|" in name}
    for case in sorted(cases):
        kind, depth, directions = case.split()
        arrays = {name.split("|")[1]: given[name] for name in given.files if name.startswith(f"{case}|")}
        initial = [torch.from_numpy(arrays.pop(n)) for n in ("initial_h", "initial_c") if n in arrays]
        units, outputs = arrays["rnn.weight_hh_l0"].shape[1], arrays["head.weight"].shape[0]
        net = Net(kind, int(depth), int(directions), x.shape[2], units, outputs)
        with torch.no_grad():
            found[f"{case}|own outputs"] = net(x, lengths).numpy()
            for name, tensor in net.state_dict().items():
                found[f"{case}|{name}"] = np.asarray(tensor).copy()  # it shares its memory
            net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=True)
            if initial:
                states = [state[:, None].expand(-1, len(x), -1).contiguous() for state in initial]
                net.states = tuple(states) if kind == "lstm" else states[0]
            found[f"{case}|outputs"] = net(x, lengths).numpy()
    np.savez(to, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
