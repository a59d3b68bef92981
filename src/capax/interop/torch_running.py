"""State dicts run by PyTorch itself, where it is installed, to check what is written for it."""

import importlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from capax.cells.gru_reset_after import GRUResetAfter
from capax.cells.lstm import LSTM
from capax.interop.torch import INITIAL, from_state_dict
from capax.networks.assembling import AnyNetwork
from capax.networks.bidirectional import Bidirectional


def module_of(net: AnyNetwork) -> dict[str, Any]:
    """The PyTorch module whose state dict `to_state_dict` gives: `rnn`, an `nn.RNN`, `nn.GRU`, or
    `nn.LSTM` with these arguments, between the `nn.Linear`s `entry` (if there is an input map) and
    `readout`.
    """
    layer = net.layers[0]
    kind = {LSTM: "LSTM", GRUResetAfter: "GRU"}.get(type(layer), "RNN")
    both = isinstance(net, Bidirectional)
    arguments = {
        "input_size": layer.inputs,
        "hidden_size": layer.units,
        "num_layers": len(net.layers) // (1 + both),
        "bidirectional": both,
        "batch_first": True,
    }
    return {
        "rnn": f"nn.{kind}",
        "arguments": arguments | ({"nonlinearity": layer.nonlinearity} if kind == "RNN" else {}),
        "entry": None if net.entry is None else "nn.Linear",
        "readout": "nn.Linear",
    }


def outputs(net: AnyNetwork, state: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """What PyTorch gives for sequences (batch, time, inputs) with a state dict of such a network:
    (batch, time, outputs).
    """
    torch, module = importlib.import_module("torch"), module_of(net)
    nn, tensors = torch.nn, {name: torch.from_numpy(np.array(array)) for name, array in state.items()}

    def filled(made: Any, name: str) -> Any:
        own = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        made.load_state_dict(own)
        return made

    def linear(name: str) -> Any:
        return filled(nn.Linear(*reversed(tensors[f"{name}.weight"].shape)), name)

    with torch.no_grad():
        hidden = torch.from_numpy(x)
        if module["entry"]:
            hidden = linear("entry")(hidden)
        first = [tensors[name][:, None].expand(-1, len(x), -1).contiguous() for name in INITIAL if name in tensors]
        layers = filled(getattr(nn, module["rnn"].removeprefix("nn."))(**module["arguments"]), "rnn")
        hidden, _ = layers(hidden, tuple(first) if len(first) > 1 else first[0] if first else None)
        return linear("readout")(hidden).numpy()


def outputs_of_capax(net: AnyNetwork, state: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """What the network gives that capax reads back from the state dict."""
    module = module_of(net)
    kind = module["rnn"].removeprefix("nn.").lower()
    again = from_state_dict(
        state, kind, nonlinearity=module["arguments"].get("nonlinearity", "tanh"), readout="readout"
    )
    return np.asarray(again(jnp.asarray(x)))
