"""Model files stand alone: arrays and architecture, no data, no path; and what is damaged says so
in one line.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import capax
from capax import tasks
from capax.cells.sequence import Dense
from capax.errors import CapaxError
from capax.networks.network import Network
from capax.networks.sizing import parameters
from capax.training import model
from capax.training.template import Template
from capax.training.trial import NetworkShape, Result, Trial


def trained(cell, task, units=4, depth=1, **hyperparameters):
    """A trial with a result: its own initial parameters, plus one, as if training had done that."""
    sizes = {"inputs": task.inputs, "outputs": task.outputs, "depth": depth, "units": units}
    shape = NetworkShape(cell, depth, units, parameters(cell, **sizes))
    trial = Trial("study/3", task, shape, hyperparameters, 10, seed=5)
    template = Template(shape, hyperparameters.get("nonlinearity"), task.inputs, task.outputs)
    flat, constants = template.initial(hyperparameters, 5)
    scores = {"score": 1.5, "loss": 1.0}
    result = Result(None, 10, 1.0, scores, scores, np.zeros(100), 1, np.asarray(flat) + 1.0)
    return trial, result, template.network(flat + 1.0, constants)


@pytest.mark.parametrize(
    ("cell", "depth", "hyperparameters"),
    [
        ("rnn", 1, {"nonlinearity": "relu"}),
        ("intersection", 2, {}),
        ("lru", 1, {}),
        ("block-gru", 2, {"forget_bias": 2.0}),
        ("transformer", 1, {}),
    ],
)
def test_a_network_comes_back_to_the_bit_without_its_task(tmp_path, cell, depth, hyperparameters, monkeypatch):
    trial, result, network = trained(cell, tasks.get("memory", numbers=3, time_steps=4), 8, depth, **hyperparameters)
    model.save(tmp_path / "m.safetensors", trial, result)
    monkeypatch.setattr(tasks, "get", None)
    found = capax.load(tmp_path / "m.safetensors")
    assert jax.tree.structure(found.network) == jax.tree.structure(network)
    for one, other in zip(jax.tree.leaves(found.network), jax.tree.leaves(network), strict=True):
        np.testing.assert_array_equal(one, other)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3, 2)), jnp.float32)
    np.testing.assert_array_equal(found.network.run(Dense(x)), network.run(Dense(x)))
    card = found.card
    assert (card.cell, card.depth, card.units, card.inputs, card.architecture.kind) == (cell, depth, 8, 3, "stack")
    assert card.hyperparameters == hyperparameters and card.validation["score"] == 1.5


@pytest.fixture
def path(tmp_path):
    (tmp_path / "secret place").mkdir()
    text = tmp_path / "secret place" / "text.txt"
    text.write_text("some words to be read again and again. " * 100)
    trial, result, _ = trained("gru", tasks.get("text", path=str(text)))
    model.save(tmp_path / "m.safetensors", trial, result)
    return tmp_path / "m.safetensors"


def test_no_path_is_in_the_file_and_the_text_is_known_by_its_content(path):
    assert b"secret" not in path.read_bytes()
    card, _ = model.read(path)
    assert [content.name for content in card.contents] == ["text.txt"] and card.contents[0].path is None
    assert "path" not in card.task_options and card.inputs == 27


def test_any_reader_of_safetensors_finds_the_arrays_by_their_places(path):
    with safe_open(path, framework="numpy") as file:
        names = set(file.keys())
        header = json.loads(file.metadata()["capax.model"])
    assert {"layers.0.initial", "readout.weight", "readout.bias"} <= names
    assert header["cell"] == "gru" and header["preprocessing"] is None and header["versions"]["jax"] == jax.__version__


def rewritten(path, change_card=lambda card: card, change_arrays=lambda arrays: arrays):
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        card = json.loads(file.metadata()["capax.model"])
    save_file(change_arrays(arrays), path, metadata={"capax.model": json.dumps(change_card(card))})


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda path: path.unlink(), "does not exist; a run keeps its best networks in models/"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "is no safetensors file, or is cut short"),
        (lambda path: path.write_bytes(b"PK\x03\x04"), "is no safetensors file, or is cut short"),
        (lambda path: path.write_bytes(b""), "is no safetensors file, or is cut short"),
        (lambda path: save_file({"a": np.zeros(3)}, path), "is not a model, but a file of another program"),
        (
            lambda path: save_file({"a": np.zeros(3)}, path, metadata={"manifest": "{}"}),
            "is a checkpoint, or a model of an older capax",
        ),
        (
            lambda path: rewritten(path, lambda card: {**card, "format": 3}),
            "is a model of format 3; this capax reads format 2: use a newer capax",
        ),
        (
            lambda path: rewritten(path, lambda card: {**card, "format": 1}),
            r"is a model of an older capax \(format 1, now 2\): run its experiment once more",
        ),
        (lambda path: rewritten(path, lambda card: {**card, "units": "many"}), "is damaged: units: "),
        (lambda path: rewritten(path, lambda card: {**card, "units": 5}), "its arrays or its card are not what was"),
        (
            lambda path: rewritten(
                path, change_arrays=lambda arrays: {k: np.asarray(v + 0.1) for k, v in arrays.items()}
            ),
            "its arrays or its card are not what was written",
        ),
    ],
)
def test_a_file_that_is_no_whole_model_is_one_line(path, harm, says):
    harm(path)
    with pytest.raises(CapaxError, match=says) as caught:
        model.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_cell_that_is_another_one_now_is_told_from_a_damaged_file(path, monkeypatch):
    class Shapes(Template):
        def __init__(self, shape, nonlinearity, inputs, outputs):
            super().__init__(shape, nonlinearity, inputs + 1, outputs)

    monkeypatch.setattr(model, "Template", Shapes)
    with pytest.raises(CapaxError, match="the cell gru of this capax is not the one it was made with"):
        model.load(path)


def test_a_users_cell_needs_its_module(path, monkeypatch):
    monkeypatch.setenv("CAPAX_TRUST", "nowhere_at_all")

    def elsewhere(card):
        sealed, arrays = model.read(path)
        changed = {**card, "cell": "nowhere_at_all:Mine"}
        found = model._CARD.validate_python(changed, strict=False)
        return {**changed, "sha256": model._seal(found, arrays)} if sealed else card

    rewritten(path, elsewhere)
    with pytest.raises(
        CapaxError, match=r"holds a network of a cell that is needed to run it: .*no module 'nowhere_at_all'"
    ):
        model.load(path)


def test_a_fresh_network_has_the_arrays_that_the_file_names(path):
    _, arrays = model.read(path)
    network = Network.create("gru", inputs=27, outputs=27, units=4, key=jax.random.key(0))
    assert sum(array.size for array in arrays.values()) == sum(leaf.size for leaf in jax.tree.leaves(network))
