"""Plain NumPy layers by the equations in PyTorch's documentation (torch.nn.RNN, GRU, LSTM), in
float64, and state dicts with random values.
"""

import numpy as np

BLOCKS = {"rnn": 1, "relu": 1, "gru": 3, "lstm": 4}
INPUTS, UNITS, OUTPUTS, STEPS = 3, 5, 2, 7
LENGTHS = np.array([7, 1, 4, 6])


def kind_of(case):
    """The kind and the nonlinearity of a case: "relu" is the RNN with ReLU."""
    return ("rnn", "relu") if case == "relu" else (case, "tanh")


def shapes(case, depth, directions):
    """Names and shapes of a module `rnn`, without a readout."""
    found, rows = {}, BLOCKS[case] * UNITS
    for l in range(depth):
        for suffix in ("", "_reverse")[:directions]:
            inputs = directions * UNITS if l else INPUTS
            found |= {f"rnn.weight_ih_l{l}{suffix}": (rows, inputs), f"rnn.weight_hh_l{l}{suffix}": (rows, UNITS)}
            found |= {f"rnn.bias_{part}_l{l}{suffix}": (rows,) for part in ("ih", "hh")}
    return found


def state_dict(case, depth=1, directions=1, seed=0):
    """A module with the layers `rnn` and an nn.Linear `head`."""
    random, width = np.random.default_rng(seed), directions * UNITS
    named = shapes(case, depth, directions) | {"head.weight": (OUTPUTS, width), "head.bias": (OUTPUTS,)}
    return {name: (0.5 * random.normal(size=shape)).astype(np.float32) for name, shape in named.items()}


def sequences(seed=1):
    """(batch, time, inputs)."""
    return np.random.default_rng(seed).normal(size=(len(LENGTHS), STEPS, INPUTS)).astype(np.float32)


def sigma(a):
    return 1 / (1 + np.exp(-a))


def one_way(case, W, V, b, d, x, h, c):
    """h at all steps of one sequence (time, features), from the states h and c."""
    found = []
    for x_t in x:
        i, r = np.split(W @ x_t + b, BLOCKS[case]), np.split(V @ h + d, BLOCKS[case])
        if case == "gru":
            reset, z = sigma(i[0] + r[0]), sigma(i[1] + r[1])
            h = (1 - z) * np.tanh(i[2] + reset * r[2]) + z * h
        elif case == "lstm":
            c = sigma(i[1] + r[1]) * c + sigma(i[0] + r[0]) * np.tanh(i[2] + r[2])
            h = sigma(i[3] + r[3]) * np.tanh(c)
        else:
            h = np.tanh(i[0] + r[0]) if case == "rnn" else np.maximum(i[0] + r[0], 0)
        found.append(h)
    return np.array(found)


def outputs(case, state, depth, directions, x, lengths=LENGTHS, head="head"):
    """(batch, time, outputs), zero behind the lengths."""
    found = []
    for sequence, length in zip(x, lengths, strict=True):
        below = sequence[:length].astype(np.float64)
        for l in range(depth):
            above = []
            for place, suffix in enumerate(("", "_reverse")[:directions]):
                names = [f"rnn.{part}_l{l}{suffix}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
                row = l * directions + place
                h, c = (state.get(name, np.zeros((row + 1, UNITS)))[row] for name in ("initial_h", "initial_c"))
                turned = below[::-1] if suffix else below
                ys = one_way(case, *(state[name].astype(np.float64) for name in names), turned, h, c)
                above.append(ys[::-1] if suffix else ys)
            below = np.concatenate(above, axis=1)
        ys = below @ state[f"{head}.weight"].astype(np.float64).T + state[f"{head}.bias"] if head else below
        found.append(np.concatenate([ys, np.zeros((x.shape[1] - length, ys.shape[1]))]))
    return np.array(found)
