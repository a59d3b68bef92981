"""A network becomes a file for other programs, and is read by them before it is written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import capax
from capax import cells, tasks
from capax.cells import Wiring
from capax.errors import CapaxError
from capax.interop import exporting
from capax.interop.exporting import export
from capax.interop.torch import from_state_dict
from capax.networks.bidirectional import Bidirectional
from capax.networks.encoder_decoder import EncoderDecoder
from capax.networks.network import Network
from capax.training import model
from tests.networks.random_networks import randomise
from tests.training.test_model import trained

ROOT = Path(__file__).parents[2]
NATIVE = ["rnn", "irnn", "lstm", "gru-reset-after"]
SIZES = {"inputs": 3, "outputs": 2, "units": 5}


def made(cell="lstm", kind=Network, depth=2, **options):
    return randomise(kind(cells.get(cell), depth=depth, **SIZES, **options))


def header(file):
    with safe_open(file, framework="numpy") as opened:
        return opened.metadata()


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize(
    ("network", "options"),
    [
        (made(), {"lengths": True, "states": True}),
        (made("ugrnn"), {"symbols": True}),
        (made("gru", Bidirectional), {"lengths": True}),
    ],
)
def test_onnx_is_read_by_onnxruntime_before_it_is_written(tmp_path, network, options):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'capax[onnx]'")
    (checked,) = export(network, "onnx", tmp_path / "to" / "m.onnx", **options)
    assert checked.file == tmp_path / "to" / "m.onnx" and checked.file.stat().st_size > 1000
    assert checked.by.startswith("onnxruntime ") and checked.difference < 1e-5
    assert str(checked).startswith("m.onnx: read by onnxruntime")


def test_an_encoder_decoder_is_two_onnx_files(tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'capax[onnx]'")
    found = export(made("gru", EncoderDecoder, attention="dot"), "onnx", tmp_path / "m.onnx", states=True)
    assert [each.file.name for each in found] == ["m.encoder.onnx", "m.decoder.onnx"]
    assert all(each.difference < 1e-5 and each.file.exists() for each in found)


def test_without_onnxruntime_the_file_is_written_and_said_not_to_be_checked(tmp_path, monkeypatch):
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'capax[onnx]'")
    monkeypatch.setattr(exporting.importlib.util, "find_spec", lambda name: None)
    (checked,) = export(made(), "onnx", tmp_path / "m.onnx")
    assert checked.file.exists() and checked.difference is None
    assert str(checked) == "m.onnx: not checked, as onnxruntime is not installed"


def test_a_file_that_says_something_else_is_not_written(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'capax[onnx]'")
    other = made("lstm", depth=1)
    monkeypatch.setattr(exporting.onnx, "to_protos", lambda model, **options: (capax.interop.onnx.to_model(other),))
    with pytest.raises(CapaxError, match="ONNX file of this network would give other numbers") as error:
        export(made(), "onnx", tmp_path / "m.onnx")
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


@pytest.mark.grid(keep=5)
@pytest.mark.parametrize("kind", [Network, Bidirectional])
@pytest.mark.parametrize("cell", NATIVE)
def test_a_pytorch_file_reads_back_as_the_same_network(tmp_path, cell, kind):
    network, file = made(cell, kind, wiring=Wiring(embedding=4)), tmp_path / "m.safetensors"
    (checked,) = export(network, "torch", file)
    assert checked.difference < 1e-6
    said = json.loads(header(file)["capax"])["module"]
    assert header(file)["format"] == "pt" and said["arguments"]["bidirectional"] == (kind is Bidirectional)
    again = from_state_dict(
        load_file(file),
        said["rnn"].removeprefix("nn.").lower(),
        nonlinearity=said["arguments"].get("nonlinearity", "tanh"),
        readout="readout",
    )
    x = jnp.asarray(np.random.default_rng(5).normal(size=(2, 20, 3)), jnp.float32)
    np.testing.assert_allclose(again(x), network(x), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_pytorch_itself_runs_the_exported_file():
    torch = ROOT / ".venv-torch" / "bin" / "python"
    if not torch.exists() or subprocess.run([torch, "-c", "import torch"], capture_output=True).returncode:
        pytest.skip(f"PyTorch is not in {torch.parents[1]}: make .venv-torch/.installed")
    own = next(path for path in sys.path if path.endswith("site-packages"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), own])}
    command = [torch, "-m", "tests.interop.torch_exports"]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    differences = json.loads(found.stdout)
    assert len(differences) == 2 * len(NATIVE) and all(by.startswith("PyTorch ") for by, _ in differences)
    assert max(difference for _, difference in differences) < 1e-6


@pytest.mark.parametrize(
    "network",
    [made("lru"), made("gru", Bidirectional), made("ugrnn", EncoderDecoder, attention="additive")],
)
def test_safetensors_hold_every_array_by_the_name_of_its_place(tmp_path, network):
    file = tmp_path / "m.safetensors"
    (checked,) = export(network, "safetensors", file)
    arrays, said = load_file(file), json.loads(header(file)["capax"])
    assert checked.difference == 0 and f"all {len(arrays)} arrays are the same" in str(checked)
    assert said["units"] == 5 and said["network"] == type(network).__name__ and said["version"] == capax.__version__
    np.testing.assert_array_equal(arrays["readout.weight"], network.readout.weight)
    held = sum(leaf.size for leaf in jax.tree.leaves(network) if isinstance(leaf, jax.Array))
    assert sum(array.size for array in arrays.values()) == held
    assert os.fsencode(tmp_path) not in file.read_bytes()


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("to", ["onnx", "torch", "safetensors"])
def test_a_model_goes_out_with_what_it_was_trained_on(tmp_path, to):
    if to == "onnx":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'capax[onnx]'")
    trial, result, _ = trained("lstm", tasks.get("memory", numbers=3, time_steps=4), 8, 2)
    model.save(tmp_path / "m.safetensors", trial, result)
    (checked,) = export(capax.load(tmp_path / "m.safetensors"), to, tmp_path / "out")
    assert checked.difference < 1e-5
    if to == "onnx":
        session = capax.interop.onnx.opened(checked.file)
        assert session.get_modelmeta().custom_metadata_map["capax.task"] == "memory"
    else:
        assert json.loads(header(checked.file)["capax"])["task"] == "memory"


@pytest.mark.parametrize(
    ("network", "to", "said"),
    [
        (made(), "pickle", "unknown format 'pickle'"),
        (made(), "tensors", "did you mean 'safetensors'"),
        (made("gru"), "torch", "PyTorch has no layer with the equations of gru"),
        (made("gru", EncoderDecoder), "torch", "cannot write a EncoderDecoder for PyTorch"),
        (made("gru", Bidirectional), "onnx", "has states to go on from"),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_line(tmp_path, network, to, said):
    with pytest.raises(CapaxError, match=said) as error:
        export(network, to, tmp_path / "m", states=True)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_a_directory_is_no_file(tmp_path):
    with pytest.raises(CapaxError, match=r"is a directory; name a file in it, such as .*model\.onnx"):
        export(made(), "onnx", tmp_path)
