"""ONNX files give, by onnxruntime, what their networks give: every built-in cell and users' own,
any depth, both directions, several lengths.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import capax
from capax import cells, tasks
from capax.cells.cell import Affine, Cell, affine
from capax.cells.lstm import LSTM
from capax.errors import CapaxError
from capax.interop.onnx import difference, opened, save, to_model, to_pair
from capax.networks.bidirectional import Bidirectional
from capax.networks.encoder_decoder import EncoderDecoder
from capax.networks.network import Network
from capax.training import model
from capax.training.model import Model
from tests.networks.random_networks import randomise
from tests.training.test_model import trained

pytest.importorskip("onnx", reason="the package onnx is not installed: pip install 'capax[onnx]'")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'capax[onnx]'")

INPUTS, OUTPUTS, UNITS, STEPS, BATCH = 3, 2, 8, 7, 4
LENGTHS = np.asarray([7, 0, 3, 1], np.int64)
TOLERANCE = 1e-5
"""Both compute in float32, where a relative error of one operation is 6e-8; a few dozen add up."""

NATIVE = {"rnn": "RNN", "irnn": "RNN", "gru": "GRU", "chrono": "GRU", "gru-reset-after": "GRU", "lstm": "LSTM"}
MADE = ["heads-1", "heads-2", "heads-8", "system-lru", "block-gru", "block-lru", "block-lstm"]
ALL = [*cells.BUILT_IN, *MADE]


def makes_pairs(cell):
    kind = cells.get(cell)
    return issubclass(kind, Cell) and not kind.demands.square and not cells.wiring(kind).direct


def made(cell, depth=1, kind=Network, scale=0.3, **options):
    """A random network; of two layers where there are no fewer."""
    layer = cells.get(cell)
    depth = max(depth, cells.wiring(layer).least_depth)
    sizes = {"inputs": INPUTS, "outputs": OUTPUTS, "depth": depth, "units": UNITS}
    return randomise(kind(layer, **sizes, **options), scale=scale)


def numbers(batch=BATCH, steps=STEPS):
    return np.random.default_rng(1).normal(size=(batch, steps, INPUTS)).astype(np.float32)


def symbols(batch=BATCH, steps=STEPS):
    return np.random.default_rng(2).integers(0, INPUTS, (batch, steps))


def expected(network, x, lengths=None):
    return np.asarray(network(jnp.asarray(x), None if lengths is None else jnp.asarray(lengths)))


def run(network, path, x, lengths=None, **options):
    """What a file of the network says."""
    save(network, path, lengths=lengths is not None, **options)
    given = {"x": x} if lengths is None else {"x": x, "lengths": lengths}
    return opened(path).run(["outputs"], given)[0]


def close(found, due):
    assert np.abs(due).max() > 0.1  # zeros would agree, too
    np.testing.assert_allclose(found, due, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.onnx"


@pytest.mark.grid(keep=12)
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("cell", ALL)
def test_a_file_says_what_its_network_says(path, cell, depth):
    network, x = made(cell, depth), numbers()
    close(run(network, path, x), expected(network, x))


@pytest.mark.grid(keep=12)
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("cell", ALL)
def test_so_it_does_of_sequences_of_several_lengths_whatever_stands_behind_them(path, cell, depth):
    network, x = made(cell, depth), numbers()
    behind = np.arange(STEPS)[None, :] >= LENGTHS[:, None]
    x[behind] = np.nan
    found = run(network, path, x, LENGTHS)
    close(found, expected(network, x, LENGTHS))
    np.testing.assert_array_equal(found[behind], 0)


@pytest.mark.grid(keep=6)
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("cell", [cell for cell in ALL if makes_pairs(cell)])
def test_a_bidirectional_network_likewise(path, cell, depth, lengths):
    network, x = made(cell, depth, Bidirectional), numbers()
    close(run(network, path, x, lengths), expected(network, x, lengths))


@pytest.mark.grid(keep=3)
@pytest.mark.parametrize("kind", [Network, Bidirectional])
@pytest.mark.parametrize("cell", ["rnn", "gru", "gru-reset-after", "lstm", "ugrnn"])
def test_with_the_other_nonlinearity(path, cell, kind):
    network, x = made(cell, 2, kind, nonlinearity="relu"), numbers()
    close(run(network, path, x, LENGTHS), expected(network, x, LENGTHS))


def operators(network, **options):
    return list(to_model(network, **options).graph.node)


@pytest.mark.grid(keep=6)
@pytest.mark.parametrize("cell", [cell for cell in ALL if issubclass(cells.get(cell), Cell)])
def test_each_layer_is_one_node_of_its_own_operator_or_a_scan(cell):
    network = made(cell, 2)
    loops = [node.op_type for node in operators(network) if node.op_type in {"RNN", "GRU", "LSTM", "Scan"}]
    assert loops == [NATIVE.get(cell, "Scan")] * 2


@pytest.mark.parametrize(("cell", "operator"), NATIVE.items())
def test_a_pair_of_native_cells_is_one_node_of_both_directions(cell, operator):
    (node,) = [node for node in operators(made(cell, 1, Bidirectional)) if node.op_type == operator]
    attributes = {each.name: each for each in node.attribute}
    assert attributes["direction"].s == b"bidirectional" and attributes["hidden_size"].i == UNITS
    if operator == "GRU":
        assert attributes["linear_before_reset"].i == (cell == "gru-reset-after")


@pytest.mark.parametrize("cell", ["gru", "lstm", "ugrnn", "lru"])
def test_one_file_serves_every_batch_and_every_number_of_steps(path, cell):
    network = made(cell, 2)
    session = opened(*save(network, path))
    for batch, steps in [(1, 1), (1, 30), (5, 2)]:
        x = numbers(batch, steps)
        close(session.run(None, {"x": x})[0], expected(network, x))


@pytest.mark.grid(keep=4)
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("embedding", [0, 5])
@pytest.mark.parametrize("kind", [Network, Bidirectional])
@pytest.mark.parametrize("cell", ["gru", "ugrnn"])
def test_symbols_with_and_without_an_embedding(path, cell, kind, embedding, lengths):
    network, x = made(cell, 1, kind, wiring=capax.Wiring(embedding=embedding)), symbols()
    close(run(network, path, x, lengths, symbols=True), expected(network, x, lengths))


def test_a_direct_part_reads_symbols(path):
    network, x = made("heads-2"), symbols()
    close(run(network, path, x, symbols=True), expected(network, x))


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("kind", [Network, Bidirectional])
@pytest.mark.parametrize("cell", ["lstm", "ugrnn"])
def test_norms_an_embedding_of_numbers_and_dropout(path, cell, kind):
    wiring = capax.Wiring(norm=True, between=True, embedding=4, dropout=0.5)
    network, x = made(cell, 3, kind, wiring=wiring), numbers()
    close(run(network, path, x, LENGTHS), expected(network, x, LENGTHS))


@pytest.mark.parametrize("cell", ["gru", "ugrnn", "transformer"])
def test_time_may_come_first(path, cell):
    network, x = made(cell), numbers()
    found = run(network, path, np.swapaxes(x, 0, 1), LENGTHS, time_first=True)
    close(np.swapaxes(found, 0, 1), expected(network, x, LENGTHS))


@pytest.mark.grid(keep=3)
@pytest.mark.parametrize("cell", ["gru", "lstm", "ugrnn", "lru", "intersection"])
def test_a_long_sequence_is_run_in_parts_by_its_states(path, cell):
    network, x = made(cell, 2), numbers()
    session = opened(*save(network, path, states=True, lengths=True))
    states = [np.asarray(leaf).T for leaf in jax.tree.leaves(network.initial(len(x)))]
    names = [each.name for each in session.get_inputs()][2:]
    whole = expected(network, x, LENGTHS)
    for begin, end in [(0, 4), (4, STEPS)]:
        lengths = np.clip(LENGTHS - begin, 0, end - begin)
        given = {"x": x[:, begin:end], "lengths": lengths, **dict(zip(names, states, strict=True))}
        found, *states = session.run(None, given)
        np.testing.assert_allclose(found, whole[:, begin:end], rtol=TOLERANCE, atol=TOLERANCE)
    due = network(jnp.asarray(x), jnp.asarray(LENGTHS), return_states=True)[1]
    for state, leaf in zip(states, jax.tree.leaves(due), strict=True):
        np.testing.assert_allclose(state, np.asarray(leaf).T, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("options", [{}, {"symbols": True}, {"states": True, "lengths": True, "time_first": True}])
def test_the_difference_of_a_network_and_its_file_is_measured(path, options):
    network = made("lstm", 2)
    assert difference(network, *save(network, path, **options)) < TOLERANCE
    assert difference(made("lstm", 2, scale=0.5), path) > 1e-2


def test_the_file_says_what_it_is(path):
    session = opened(*save(made("gru", 2), path, lengths=True))
    metadata = session.get_modelmeta()
    found = metadata.custom_metadata_map
    assert metadata.producer_name == "capax"
    assert found["capax.cell"] == "gru" and found["capax.version"] == capax.__version__
    assert [found[f"capax.{name}"] for name in ("depth", "units", "inputs", "outputs")] == ["2", "8", "3", "2"]
    axes = {"x": ["batch", "time", "inputs"], "lengths": ["batch"], "outputs": ["batch", "time", "outputs"]}
    assert json.loads(found["capax.axes"]) == axes
    assert [each.shape for each in session.get_inputs()] == [["batch", "time", INPUTS], ["batch"]]


def test_no_file_holds_a_path(path):
    files = [*save(made("gru", 2), path, lengths=True, states=True), *save(translating(Unusual, 2, "dot"), path)]
    for place in (path.parent, Path(__file__).parents[2], Path.home(), Path(sys.prefix)):
        assert not any(os.fsencode(place) in file.read_bytes() for file in files)


@pytest.mark.parametrize("cell", ["lstm", "ugrnn"])
def test_a_model_that_was_saved_and_loaded_gives_the_same_file(tmp_path, cell):
    trial, result, network = trained(cell, tasks.get("memory", numbers=3, time_steps=4), 8, 2)
    model.save(tmp_path / "m.safetensors", trial, result)
    loaded = capax.load(tmp_path / "m.safetensors")
    assert to_model(loaded.network).SerializeToString() == to_model(network).SerializeToString()
    proto = to_model(loaded)
    found = {each.key: each.value for each in proto.metadata_props}
    assert found["capax.task"] == "memory" and json.loads(found["capax.evaluation"]) == {"score": 1.5, "loss": 1.0}
    assert proto.graph == to_model(network).graph
    prepared = Model(network, dataclasses.replace(loaded.card, preprocessing={"job": "forecast", "scale": [1.5]}))
    found = {each.key: each.value for each in to_model(prepared).metadata_props}
    assert json.loads(found["capax.preprocessing"]) == {"job": "forecast", "scale": [1.5]}
    assert difference(loaded, *save(loaded, tmp_path / "m.onnx")) < TOLERANCE


def translating(cell, depth=1, attention=None, **options):
    """A random encoder-decoder network."""
    depth = max(depth, cells.wiring(cells.get(cell)).least_depth)
    sizes = {"inputs": INPUTS, "outputs": 4, "depth": depth, "units": UNITS}
    return randomise(EncoderDecoder(cells.get(cell), attention=attention, **sizes, **options), scale=0.3)


def translates(cell):
    kind = cells.get(cell)
    return issubclass(kind, Cell) and not cells.wiring(kind).direct


@pytest.mark.grid(keep=5)
@pytest.mark.parametrize("attention", [None, "dot", "additive"])
@pytest.mark.parametrize("cell", [cell for cell in ALL if translates(cell)])
def test_an_encoder_decoder_is_two_files_that_say_what_it_says_of_a_target(path, cell, attention):
    network = translating(cell, 2, attention)
    files = save(network, path, lengths=True)
    assert [file.name for file in files] == ["network.encoder.onnx", "network.decoder.onnx"]
    assert difference(network, *files) < TOLERANCE


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("wiring", [capax.Wiring(), capax.Wiring(embedding=5, norm=True, between=True)])
@pytest.mark.parametrize("cell", ["lstm", "ugrnn"])
def test_an_encoder_decoder_of_symbols_with_norms_and_embeddings(path, cell, wiring):
    network = translating(cell, 2, "dot", wiring=wiring)
    for options in ({}, {"lengths": True}):
        assert difference(network, *save(network, path, symbols=True, **options)) < TOLERANCE
    assert difference(translating(cell, 2, "additive", wiring=wiring), *save(network, path, symbols=True)) > 1e-3


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("attention", [None, "dot"])
@pytest.mark.parametrize("cell", ["gru", "lru"])
def test_a_decoder_is_run_symbol_by_symbol_from_what_its_encoder_gave(path, cell, attention):
    network, x = translating(cell, 2, attention), numbers()
    encoder, decoder = (opened(file) for file in save(network, path, lengths=True))
    given = encoder.run(None, {"x": x, "lengths": LENGTHS})
    known = {each.name: array for each, array in zip(encoder.get_outputs(), given, strict=True)}
    known |= {"lengths": LENGTHS, "symbols": np.full((BATCH, 1), network.start)}
    start = decoder.get_modelmeta().custom_metadata_map["capax.start"]
    assert start == str(network.start) == "4"
    read, said = [each.name for each in decoder.get_inputs()], []
    for _ in range(6):
        outputs, *states = decoder.run(None, {name: known[name] for name in read})
        names = [each.name.removesuffix("_after") for each in decoder.get_outputs()[1:]]
        known |= dict(zip(names, states, strict=True)) | {"symbols": outputs.argmax(axis=2)}
        said.append(known["symbols"])
    expected, _ = network.decode(jnp.asarray(x), jnp.asarray(LENGTHS), limit=6)
    np.testing.assert_array_equal(np.concatenate(said, axis=1), expected)


class Unusual(Cell):
    """A user's cell with slices, a permutation, a choice, and a loop of its own."""

    map: Affine = affine("one", "two")

    def project(self, x):
        return self.map.project(x), jnp.sum(jnp.abs(x), axis=0, keepdims=True)

    def step(self, state, projected):
        one, two = self.map.recur(state, projected[0])
        turned = jnp.concatenate([one[2:], one[:2]])[jnp.asarray([1, 0, *range(2, self.units)])]
        slow, _ = jax.lax.scan(lambda c, _: (jnp.tanh(c + two), None), turned, None, length=3)
        h = jnp.where(state[::-1] > 0.1, jax.nn.softplus(slow), self.s(two)) + jax.nn.log_sigmoid(projected[1])
        h = jax.lax.cond(
            jnp.sum(h) > 1e6, lambda h: 0.0 * h, lambda h: h / (1 + jnp.max(jnp.abs(h), axis=0, keepdims=True)), h
        )
        return h, h


class Changed(LSTM):
    """An LSTM whose output gate is left out: no LSTM of ONNX."""

    def step(self, state, projected):
        (_, c), _ = super().step(state, projected)
        return (jnp.tanh(c), c), jnp.tanh(c)


@pytest.mark.grid(keep=2)
@pytest.mark.parametrize("kind", [Network, Bidirectional])
@pytest.mark.parametrize("cell", [Unusual, Changed, eqx.nn.GRUCell, eqx.nn.LSTMCell])
def test_a_users_own_cell_is_a_scan(path, cell, kind):
    network, x = made(cell, 2, kind), numbers()
    assert not {"RNN", "GRU", "LSTM"} & {node.op_type for node in operators(network)}
    close(run(network, path, x, LENGTHS), expected(network, x, LENGTHS))


class Sorting(Cell):
    map: Affine = affine("only")

    def project(self, x):
        return self.map.project(x)

    def step(self, state, projected):
        h = self.s(jnp.sort(self.map.recur(state, projected), axis=0))
        return h, h


class Asking(Sorting):
    def step(self, state, projected):
        h = self.s(self.map.recur(state, projected))
        return (h, h) if h.shape[1] > 2 else (h, jnp.abs(h) * jnp.sign(h))


def test_an_operation_without_a_rule_is_named_in_one_line():
    with pytest.raises(CapaxError, match=r"cannot write the cell Sorting to ONNX: .* the operation 'sort'") as error:
        to_model(made(Sorting))
    assert "\n" not in str(error.value)


def test_a_step_that_asks_for_the_size_of_the_batch_is_refused_in_one_line():
    with pytest.raises(CapaxError, match="the cell Asking to ONNX, where time and batch have no fixed size") as error:
        to_model(made(Asking))
    assert "\n" not in str(error.value)


def test_what_has_no_file_says_so():
    with pytest.raises(CapaxError, match="an EncoderDecoder is two ONNX files"):
        to_model(translating("gru"))
    with pytest.raises(CapaxError, match="a Network is one ONNX file"):
        to_pair(made("gru"))
    for network in (made("gru", kind=Bidirectional), made("transformer")):
        with pytest.raises(CapaxError, match="has states to go on from"):
            to_model(network, states=True)


def test_a_file_that_is_no_network_is_refused_in_one_line(path):
    path.write_bytes(b"nothing")
    with pytest.raises(CapaxError, match="onnxruntime cannot run") as error:
        opened(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("package", "use"), [("onnx", to_model), ("onnxruntime", lambda _: opened("network.onnx"))])
def test_without_the_extra_one_line_says_what_to_install(monkeypatch, package, use):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CapaxError, match=rf"need the package {package}: pip install 'capax\[onnx\]'"):
        use(made("gru"))
