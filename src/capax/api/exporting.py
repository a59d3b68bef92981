"""From a trained network to a file for another program."""

from pathlib import Path

from capax.errors import CapaxError
from capax.fitting.loaded import load
from capax.fitting.loaded import model_file as resolved
from capax.interop import exporting

ENDINGS = {"onnx": ".onnx", "torch": ".torch.safetensors", "safetensors": ".arrays.safetensors"}
"""Of exported files."""


def export(model_file: str | Path, to: str, out: str | Path | None = None) -> list[exporting.Checked]:
    """A model file for another program: "onnx", "torch" (a state dict, as safetensors), or
    "safetensors" (arrays by name).

    `out`: by default beside the model. ONNX reads lengths of sequences, and symbols where the
    network does.

    **Returns:** each file, and how it was checked. Raises `CapaxError` for a model that has no such
    form.
    """
    model_file = resolved(model_file)
    loaded = load(model_file)
    path = Path(out) if out is not None else Path(model_file).with_suffix(ENDINGS.get(to, f".{to}"))
    if path.resolve() == Path(model_file).resolve():
        raise CapaxError(f"{path} is the model itself; name another file with --out.")
    return exporting.export(loaded, to, path, symbols=loaded.reads_symbols, lengths=True)
