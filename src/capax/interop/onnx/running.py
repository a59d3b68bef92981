"""ONNX files run by onnxruntime, and held against the networks that they were made of."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from capax.errors import CapaxError
from capax.interop.description import network_of
from capax.interop.onnx.draft import METADATA
from capax.interop.onnx.package import onnx_package
from capax.networks.assembling import AnyNetwork
from capax.networks.encoder_decoder import EncoderDecoder
from capax.networks.network import Network
from capax.training.model import Model

File = str | Path | Any
"""The path of a file, or an `onnx.ModelProto`."""


def opened(file: File) -> Any:
    """An `onnxruntime.InferenceSession` of a file, on the CPU.

    Raises `CapaxError` where onnxruntime is not installed, or cannot run the file.
    """
    runtime = onnx_package("onnxruntime")
    given = str(file) if isinstance(file, str | Path) else file.SerializeToString()
    try:
        return runtime.InferenceSession(given, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class of their own that can be imported
        name = file if isinstance(file, str | Path) else "the network"
        raise CapaxError(f"onnxruntime cannot run {name}: {str(error).splitlines()[0]}") from None


def difference(model: AnyNetwork | Model, *files: File, batch: int = 3, time: int = 9, seed: int = 0) -> float:
    """The largest difference between what a network and its file say of random sequences, of
    several lengths where the file reads lengths; relative to the largest output, if that is above
    1.

    **Arguments:** `files`: the file, or of an encoder-decoder encoder and decoder.

    Raises `CapaxError` where onnxruntime is not installed, or cannot run the file.
    """
    net, sessions = network_of(model), [opened(file) for file in files]
    draw = np.random.default_rng(seed)
    x, lengths = _drawn(sessions[0], net.inputs, (batch, time), draw)
    if isinstance(net, EncoderDecoder):
        target = draw.integers(0, net.outputs, (batch, time))
        found, expected = _forced(net, sessions, x, lengths, target), net(jnp.asarray(x), jnp.asarray(target), lengths)
    else:
        found, expected = _run(net, sessions[0], x, lengths), net(jnp.asarray(x), lengths)
    expected = np.asarray(expected)
    return float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))


def _drawn(session: Any, inputs: int, shape: tuple[int, int], draw: np.random.Generator) -> tuple[Any, Any]:
    """Random sequences of what a file reads, (batch, time, ..), and lengths, None where it reads
    none.
    """
    kinds = {each.name: each.type for each in session.get_inputs()}
    symbols = kinds["x"] == "tensor(int64)"
    x = draw.integers(0, inputs, shape) if symbols else draw.normal(size=(*shape, inputs)).astype(np.float32)
    return x, jnp.asarray(draw.integers(0, shape[1] + 1, shape[0])) if "lengths" in kinds else None


def _run(net: Any, session: Any, x: np.ndarray, lengths: Any) -> np.ndarray:
    """What a file gives, (batch, time, outputs)."""
    axes = json.loads(session.get_modelmeta().custom_metadata_map[f"{METADATA}axes"])
    swapped = axes["x"][0] == "time"
    given = {"x": np.swapaxes(x, 0, 1) if swapped else x} | _with_lengths(lengths)
    if isinstance(net, Network) and net.recurrent:
        states = [np.asarray(leaf).T for leaf in jax.tree.leaves(net.initial(len(x)))]
        given |= dict(zip((name for name in axes if name.startswith("state_")), states, strict=False))
    found = session.run(["outputs"], {each.name: given[each.name] for each in session.get_inputs()})[0]
    return np.swapaxes(found, 0, 1) if swapped else found


def _forced(net: EncoderDecoder, sessions: list[Any], x: np.ndarray, lengths: Any, target: np.ndarray) -> np.ndarray:
    """What a decoder's file says of targets, after the encoder's file has read the sources."""
    encoder, decoder = sessions
    names = [each.name for each in encoder.get_outputs()]
    given = dict(zip(names, encoder.run(None, {"x": x} | _with_lengths(lengths)), strict=True)) | _with_lengths(lengths)
    given["symbols"] = np.concatenate([np.full((len(target), 1), net.start), target[:, :-1]], axis=1)
    return decoder.run(["outputs"], {each.name: given[each.name] for each in decoder.get_inputs()})[0]


def _with_lengths(lengths: Any) -> dict[str, np.ndarray]:
    return {} if lengths is None else {"lengths": np.asarray(lengths, np.int64)}
