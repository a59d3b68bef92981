"""Networks as ONNX files, which run anywhere without capax, JAX, or the cell's code.

A cell whose equations are ONNX's own RNN, GRU, or LSTM becomes that operator; every other cell, a
user's own too, becomes a `Scan` whose body is its traced step.

    network = capax.Network.create("gru", inputs=3, outputs=2, units=16, key=jax.random.key(0))
    onnx.save(network, "model.onnx", lengths=True)
    onnx.difference(network, "model.onnx")      # the largest, on random sequences, by onnxruntime
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capax.cells import registry
from capax.cells.cell import Cell
from capax.errors import CapaxError
from capax.files import write_atomically
from capax.interop.onnx_graph import Graph, Shape, Value
from capax.interop.onnx_network import Written
from capax.interop.onnx_package import IR_VERSION, OPSET, onnx_package
from capax.networks.bidirectional import Bidirectional
from capax.networks.network import Network
from capax.training.model import Model
from capax.version import __version__

METADATA = "capax."
"""What the names of the entries begin with that capax writes into a file."""


def to_model(
    network: Network | Bidirectional | Model,
    *,
    lengths: bool = False,
    symbols: bool = False,
    states: bool = False,
    time_first: bool = False,
) -> Any:
    """A network as an `onnx.ModelProto`, checked by `onnx.checker`.

    The file reads `x`, numbers (batch, time, inputs) or symbols (batch, time), and gives `outputs`,
    (batch, time, outputs); any batch, any number of steps from 1 on. Its learned initial states are
    constants. Its metadata say which cell it is, sizes, what it was trained on, and the axes of all
    inputs and outputs.

    **Arguments:**

    - `network`: of a built-in cell or a user's own; or a model, as `capax.load` gives it.
    - `lengths`: the file reads how many steps of each sequence are real, too: `lengths`, (batch,),
      64-bit whole numbers. Outputs behind a length are 0, whatever stands there in `x`.
    - `symbols`: it reads symbols, 64-bit whole numbers from 0 to inputs - 1.
    - `states`: it reads the states before the first step, `state_0_0` and so on by layer and part,
      (batch, units), and gives those after the last real step, `state_0_0_after`: to run a long
      sequence in parts.
    - `time_first`: (time, batch, ..) in place of (batch, time, ..).

    Raises `CapaxError` where onnx is not installed, for a network that cannot be written, such as
    an encoder-decoder, naming the operation that has no rule, and for `states` of a network that
    has none.

        model = capax.load("runs/r/models/gru-1000.safetensors")
        proto = onnx.to_model(model, lengths=True)
    """
    helper = onnx_package("onnx.helper")
    net = network.network if isinstance(network, Model) else network
    if not isinstance(net, Network | Bidirectional):
        raise CapaxError(f"capax cannot write a {type(net).__name__} to ONNX; it writes Network and Bidirectional.")
    if states and not (isinstance(net, Network) and net.recurrent):
        raise CapaxError("only a recurrent network that reads forwards has states to go on from.")
    graph = Graph()
    time, batch = graph.time, graph.batch
    both = (time, batch) if time_first else (batch, time)
    x = Value("x", both if symbols else (*both, net.inputs), np.dtype(np.int64 if symbols else np.float32))
    given = {"x": x} | ({"lengths": Value("lengths", (batch,), np.dtype(np.int64))} if lengths else {})
    before = _states(net, batch) if states else None
    given |= {each.name: each for each in jax.tree.leaves(before)}
    graph.size_is(time, x, both.index(time))
    graph.size_is(batch, x, both.index(batch))
    order = (0, 1) if time_first else (1, 0)
    read = graph.transposed(x, order if symbols else (order[0], 2, order[1]))
    written = Written(
        graph,
        net,
        graph.cast(read, np.int32) if symbols else read,
        graph.cast(given["lengths"], np.int32) if lengths else None,
        None if before is None else jax.tree.map(lambda each: graph.transposed(each, (1, 0)), before),
    )
    outputs = graph.transposed(written.outputs, (1, 2, 0) if time_first else (2, 1, 0))
    made = {"outputs": _named(graph, outputs, "outputs")}
    for each, after in zip(jax.tree.leaves(before), jax.tree.leaves(written.states) if states else [], strict=True):
        made[f"{each.name}_after"] = _named(graph, graph.transposed(after, (1, 0)), f"{each.name}_after")
    graph.prune(list(made))
    body = helper.make_graph(
        graph.nodes,
        "network",
        [graph.declared(each) for each in given.values()],
        [graph.declared(each) for each in made.values()],
        graph.initialisers,
    )
    proto = helper.make_model(
        body,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="capax",
        producer_version=__version__,
    )
    helper.set_model_props(proto, _metadata(network, net, given, made))
    onnx_package("onnx.checker").check_model(proto, full_check=True)
    return proto


def save(network: Network | Bidirectional | Model, path: str | Path, **options: bool) -> Path:
    """Write a network as an ONNX file; `options` and errors as those of `to_model`. Returns the
    path.
    """
    write_atomically(Path(path), to_model(network, **options).SerializeToString())
    return Path(path)


def difference(
    network: Network | Bidirectional | Model, path: str | Path, *, batch: int = 3, time: int = 9, seed: int = 0
) -> float:
    """The largest difference between what a network and its file say of random sequences, of
    several lengths where the file reads lengths; relative to the largest output, if that is above
    1.

    Raises `CapaxError` where onnxruntime is not installed, or cannot run the file.
    """
    net = network.network if isinstance(network, Model) else network
    session = opened(path)
    metadata = session.get_modelmeta().custom_metadata_map
    inputs = {each.name: each for each in session.get_inputs()}
    swapped = json.loads(metadata[f"{METADATA}axes"])["x"][0] == "time"
    draw = np.random.default_rng(seed)
    if inputs["x"].type == "tensor(int64)":
        x = draw.integers(0, net.inputs, (batch, time))
    else:
        x = draw.normal(size=(batch, time, net.inputs)).astype(np.float32)
    given = {"x": np.swapaxes(x, 0, 1) if swapped else x}
    lengths = draw.integers(0, time + 1, batch) if "lengths" in inputs else None
    if lengths is not None:
        given["lengths"] = lengths
    if isinstance(net, Network) and net.recurrent:
        states = [np.asarray(leaf).T for leaf in jax.tree.leaves(net.initial(batch))]
        given |= dict(zip((name for name in inputs if name.startswith("state_")), states, strict=False))
    found = session.run(["outputs"], given)[0]
    expected = np.asarray(net(jnp.asarray(x), None if lengths is None else jnp.asarray(lengths)))
    difference = np.abs((np.swapaxes(found, 0, 1) if swapped else found) - expected).max()
    return float(difference / max(1.0, float(np.abs(expected).max())))


def opened(path: str | Path) -> Any:
    """An `onnxruntime.InferenceSession` of a file, on the CPU.

    Raises `CapaxError` where onnxruntime is not installed, or cannot run the file.
    """
    runtime = onnx_package("onnxruntime")
    try:
        return runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class of their own that can be imported
        raise CapaxError(f"onnxruntime cannot run {path}: {str(error).splitlines()[0]}") from None


def _states(network: Any, batch: Any) -> tuple[Any, ...]:
    """Names of the states of every layer, (batch, units), in the structure of the network's own."""

    def of_layer(number: int, cell: Cell) -> Any:
        leaves, structure = jax.tree.flatten(cell.initial)
        named = [
            Value(f"state_{number}_{part}", (batch, leaf.shape[0]), np.dtype(np.float32))
            for part, leaf in enumerate(leaves)
        ]
        return jax.tree.unflatten(structure, named)

    return tuple(of_layer(number, cell) for number, cell in enumerate(network.cells))


def _named(graph: Graph, operand: Any, name: str) -> Value:
    """An operand as the output of the file that has this name."""
    made = graph.add("Identity", [operand], operand.shape, operand.dtype)
    graph.nodes[-1].output[0] = name
    return dataclasses.replace(made, name=name)


def _metadata(network: Any, net: Any, given: dict[str, Value], made: dict[str, Value]) -> dict[str, str]:
    layer = net.layers[0]
    try:
        cell = registry.name_of(type(layer))
    except CapaxError:
        cell = type(layer).__name__
    depth = len(net.layers) if isinstance(net, Network) else len(net.forwards)
    found: dict[str, Any] = {
        "version": __version__,
        "network": type(net).__name__,
        "cell": cell,
        "depth": depth,
        "units": layer.units,
        "inputs": net.inputs,
        "outputs": net.readout.weight.shape[0],
        "nonlinearity": layer.nonlinearity or "",
        "axes": {name: _axes(name, value.shape) for name, value in {**given, **made}.items()},
    }
    if isinstance(network, Model):
        card = network.card
        found |= {"cell": card.cell, "task": card.task, "task_options": card.task_options}
        found |= {"hyperparameters": card.hyperparameters, "evaluation": card.evaluation, "model_sha256": card.sha256}
    return {
        f"{METADATA}{name}": value if isinstance(value, str) else json.dumps(value) for name, value in found.items()
    }


def _axes(name: str, shape: Shape) -> list[str]:
    """What the axes of an input or output are."""
    last = {"x": "inputs", "outputs": "outputs"}.get(name, "units")
    return [last if isinstance(size, int) else str(size) for size in shape]
