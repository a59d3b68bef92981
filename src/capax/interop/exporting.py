"""A network as a file for other programs, checked before it is written.

`onnx`: runs anywhere (interop/onnx/). `torch`: the state dict of a PyTorch module, as safetensors,
since pickles are never written. `safetensors`: all arrays under the names of their places in the
network. The header of the last two, or the metadata of ONNX, say which network it is.
"""

import dataclasses
import importlib.metadata
import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load as from_bytes
from safetensors.numpy import save as to_bytes

from capax.errors import CapaxError, closest
from capax.files import write_atomically
from capax.interop import onnx, torch, torch_running
from capax.interop.description import description, network_of
from capax.networks.assembling import AnyNetwork
from capax.networks.bidirectional import Bidirectional
from capax.networks.network import Network
from capax.training.model import Model, named_arrays

ENTRY = "capax"
"""The entry of a safetensors header that holds what the network is, as JSON."""
TOLERANCE = 1e-4
"""The largest difference between outputs, relative to the largest, that is taken for rounding: a
few hundred units in the last place of float32, as some trained networks amplify it.
"""
BATCH, TIME = 3, 9


@dataclasses.dataclass(frozen=True)
class Checked:
    """A file that was written, and how.

    `by`: the program that read it, empty where none is installed; `difference`: the largest between
    what it gives for random sequences and what the network gives, relative to the largest output if
    that is above 1; of arrays, between those written and those read. None where there is no program
    to read it.
    """

    file: Path
    by: str
    difference: float | None
    what: str = "outputs on random sequences"

    def __str__(self) -> str:
        if self.difference is None:
            return f"{self.file.name}: not checked, as {self.by} is not installed"
        same = "the same" if self.difference == 0 else f"the same to {self.difference:.1e}"
        return f"{self.file.name}: read by {self.by}, {self.what} are {same}"


def export(
    model: AnyNetwork | Model,
    to: str,
    out: str | Path,
    *,
    symbols: bool = False,
    lengths: bool = False,
    states: bool = False,
) -> list[Checked]:
    """Write a network as a file for other programs.

    **Arguments:**

    - `model`: a network, or a model, as `capax.load` gives it.
    - `to`: "onnx", "torch", or "safetensors".
    - `out`: the file. An encoder-decoder as ONNX is two, `NAME.encoder.onnx` and
      `NAME.decoder.onnx`.
    - `symbols`, `lengths`, `states`: what an ONNX file reads (`interop.onnx.to_model`). The two
      files of an encoder-decoder have states in any case.

    **Returns:** each file that was written, and how it was checked: where its runtime is installed,
    on random sequences.

    Raises `CapaxError` for another format, for a network that has no such file, saying why, and
    where the check fails; nothing is written then.
    """
    if to not in FORMATS:
        raise CapaxError(f"unknown format '{to}'{closest(to, list(FORMATS))}; choose of {', '.join(FORMATS)}.")
    out = Path(out)
    if out.is_dir():
        raise CapaxError(f"{out} is a directory; name a file in it, such as {out / f'model.{_ENDINGS[to]}'}.")
    return FORMATS[to](model, out, {"symbols": symbols, "lengths": lengths, "states": states})


def _to_onnx(model: AnyNetwork | Model, out: Path, options: dict[str, bool]) -> list[Checked]:
    if not isinstance(network_of(model), Network | Bidirectional):
        options.pop("states")
    protos = onnx.to_protos(model, **options)
    found, by = None, "onnxruntime"
    if importlib.util.find_spec(by):
        found, by = onnx.difference(model, *protos, batch=BATCH, time=TIME), _with_version(by)
        _require_same("ONNX", by, found)
    files = onnx.files_of(model, out)
    for file, proto in zip(files, protos, strict=True):
        write_atomically(file, proto.SerializeToString())
    return [Checked(file, by, found) for file in files]


def _to_torch(model: AnyNetwork | Model, out: Path, options: dict[str, bool]) -> list[Checked]:
    del options  # they are ONNX's
    state, net = torch.to_state_dict(model), network_of(model)
    header = {"format": "pt", ENTRY: json.dumps({**description(model), "module": torch_running.module_of(net)})}
    content = _packed(state, header)
    read = from_bytes(content)
    x = np.random.default_rng(0).normal(size=(BATCH, TIME, net.inputs)).astype(np.float32)
    if importlib.util.find_spec("torch"):
        given, by = torch_running.outputs(net, read, x), _with_version("torch")
    else:
        given, by = torch_running.outputs_of_capax(net, read, x), "capax, as PyTorch is not installed"
    found = _difference(given, _called(net, x))
    _require_same("PyTorch", by, found)
    write_atomically(out, content)
    return [Checked(out, by, found)]


def _to_safetensors(model: AnyNetwork | Model, out: Path, options: dict[str, bool]) -> list[Checked]:
    del options
    arrays = named_arrays(network_of(model))
    content = _packed(arrays, {ENTRY: json.dumps(description(model))})
    read = from_bytes(content)
    same = read.keys() == arrays.keys() and all(np.array_equal(read[name], arrays[name]) for name in arrays)
    _require_same("safetensors", _with_version("safetensors"), 0.0 if same else np.inf)
    write_atomically(out, content)
    return [Checked(out, _with_version("safetensors"), 0.0, f"all {len(arrays)} arrays")]


FORMATS: dict[str, Callable[[Any, Path, dict[str, bool]], list[Checked]]] = {
    "onnx": _to_onnx,
    "torch": _to_torch,
    "safetensors": _to_safetensors,
}
_ENDINGS = {"onnx": "onnx", "torch": "safetensors", "safetensors": "safetensors"}


def _packed(arrays: Mapping[str, np.ndarray], header: dict[str, str]) -> bytes:
    return to_bytes({name: np.array(array, order="C") for name, array in arrays.items()}, metadata=header)


def _called(net: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(net(jnp.asarray(x)))


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))


def _require_same(what: str, by: str, difference: float) -> None:
    if not difference <= TOLERANCE:
        raise CapaxError(
            f"the {what} file of this network would give other numbers: read by {by} they differ by {difference:.1e} of "
            "the largest. Nothing was written; please report it."
        )


def _with_version(package: str) -> str:
    name = "PyTorch" if package == "torch" else package
    return f"{name} {importlib.metadata.version(package)}"
