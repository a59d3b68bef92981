"""Inference: capax's compiled forward pass against onnxruntime, interleaved, one thread each, the
same parameters.

    .venv/bin/python benchmarks/inference.py [--cells rnn,gru,lstm] [--units 128] [--steps 175]
                                             [--batch 32] [--rounds 9]

Outputs at every step for a batch of sequences, on 30 dense inputs; outputs are compared first.
"""

import argparse
import json
import time
from typing import Any

from capax.training import backend

backend.configure()

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from capax.cells.sequence import Dense  # noqa: E402
from capax.networks.network import Network  # noqa: E402

INPUTS = 30
# ONNX's operator and, as places among capax's stacked blocks, its order of the gates; the forget
# bias's place in capax.
OPERATORS = {"rnn": ("RNN", [0], None), "gru": ("GRU", [1, 0, 2], 1), "lstm": ("LSTM", [0, 3, 1, 2], 1)}


def session(network: Network, cell: str, steps: int, batch: int) -> onnxruntime.InferenceSession:
    """The recurrent layer of a network in onnxruntime."""
    operator, order, forget = OPERATORS[cell]
    (layer,) = network.layers
    maps = [value for value in vars(layer).values() if hasattr(value, "recurrent")]
    units = layer.units

    def stacked(name: str) -> np.ndarray:
        parts = np.split(np.concatenate([np.asarray(getattr(part, name)) for part in maps]), len(order))
        if name == "bias" and forget is not None:
            parts[forget] = parts[forget] + np.float32(getattr(layer, "forget_bias"))  # noqa: B009
        return np.concatenate([parts[place] for place in order])[None]

    bias = stacked("bias")
    weights = {
        "W": stacked("input"),
        "R": stacked("recurrent"),
        "B": np.concatenate([bias, np.zeros_like(bias)], axis=1),
    }
    options = {"linear_before_reset": 0} if cell == "gru" else {}
    node = helper.make_node(operator, ["x", "W", "R", "B"], ["y"], hidden_size=units, **options)
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [steps, batch, INPUTS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [steps, 1, batch, units])],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options_of_session = onnxruntime.SessionOptions()
    options_of_session.intra_op_num_threads = options_of_session.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options_of_session, providers=["CPUExecutionProvider"]
    )


def measure(cell: str, units: int, steps: int, batch: int, rounds: int) -> dict[str, Any]:
    network = Network.create(cell, inputs=INPUTS, outputs=units, units=units, key=jax.random.key(0))
    # The readout is the identity, so that what comes out is the layer's output in both.
    network = _without_readout(network, units)
    values = np.random.default_rng(0).normal(size=(steps, INPUTS, batch)).astype(np.float32)
    other = session(network, cell, steps, batch)
    forward = jax.jit(lambda x: network.run(Dense(x)))
    x, fed = jnp.asarray(values), {"x": np.ascontiguousarray(values.transpose(0, 2, 1))}
    ours, theirs = np.asarray(forward(x)), other.run(None, fed)[0][:, 0]
    np.testing.assert_allclose(ours.transpose(1, 2, 0), theirs, rtol=1e-3, atol=1e-4)
    seconds: dict[str, list[float]] = {"capax": [], "onnxruntime": []}
    for _ in range(rounds):
        for name, run in (
            ("capax", lambda: forward(x).block_until_ready()),
            ("onnxruntime", lambda: other.run(None, fed)),
        ):
            began = time.perf_counter()
            for _ in range(5):
                run()
            seconds[name].append((time.perf_counter() - began) / 5)
    low, median, high = np.quantile(np.array(seconds["onnxruntime"]) / np.array(seconds["capax"]), [0.25, 0.5, 0.75])
    rates = {f"{name}_batches_per_second": 1 / float(np.median(values)) for name, values in seconds.items()}
    return {"cell": cell, "units": units, **rates, "ratio": {"median": median, "low": low, "high": high}}


def _without_readout(network: Network, units: int) -> Network:
    return eqx.tree_at(lambda n: (n.readout.weight, n.readout.bias), network, (jnp.eye(units), jnp.zeros(units)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="rnn,gru,lstm")
    for name, value in {"units": 128, "steps": 175, "batch": 32, "rounds": 9}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()
    sizes = (arguments.units, arguments.steps, arguments.batch, arguments.rounds)
    print(json.dumps([measure(cell, *sizes) for cell in arguments.cells.split(",")], indent=1))


if __name__ == "__main__":
    main()
