"""Trained networks as files that stand alone: every array and how to run it, and neither code nor
data nor a path.

A model is a safetensors file. Its header has one entry, `capax.model`, a JSON object: the `Card`.
The arrays have the names of their places in the network, such as `layers.0.hidden.recurrent`.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from safetensors.numpy import save as to_bytes

from capax import user_code
from capax.architecture import Architecture
from capax.cells import registry
from capax.contents import Content
from capax.errors import CapaxError
from capax.files import write_atomically
from capax.networks.assembling import AnyNetwork
from capax.training import arrays as reading
from capax.training import environment
from capax.training.template import Template
from capax.training.trial import NetworkShape, Result, Trial

FORMAT = 2
"""Format 1 knew no network but a stack."""
ENTRY = "capax.model"
"""The entry of the file's header that holds the card."""
VERSIONS = ("jax", "jaxlib", "numpy", "equinox")


@dataclasses.dataclass(frozen=True)
class Card:
    """What a model file says of its network.

    `architecture`: how cells are made a network. `preprocessing`: how data become its inputs and
    its outputs answers (`jobs.from_json`), None where a task gives them. `task`, `task_options`,
    `contents`: what it was trained on, options that name a file left out, and the files' names and
    hashes in their place. `scores`: what a fit says of the network and of methods without one, a
    row each (name, kind, scores with the ends of their intervals). `sha256`: of all arrays and of
    the rest of the card.
    """

    format: int
    cell: str
    depth: int
    units: int
    inputs: int
    outputs: int
    nonlinearity: str | None
    architecture: Architecture
    preprocessing: dict[str, Any] | None
    task: str
    task_options: dict[str, Any]
    contents: Annotated[tuple[Content, ...], pydantic.FailFast()]
    hyperparameters: dict[str, Any]
    steps: int
    seed: int
    data_seed: int
    validation: dict[str, float]
    evaluation: dict[str, float]
    versions: dict[str, str]
    scores: Annotated[tuple[dict[str, Any], ...], pydantic.FailFast()] = ()
    sha256: str = ""


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained network, and what is known of it."""

    network: AnyNetwork
    card: Card


_CARD = pydantic.TypeAdapter(Card)


def save(path: Path, trial: Trial, result: Result) -> None:
    """Write the network that came of a trial."""
    template = _template(trial.shape, trial.hyperparameters, trial.task.inputs, trial.task.outputs)
    _, constants = template.initial(trial.hyperparameters, trial.seed)
    arrays = named_arrays(template.network(jnp.asarray(result.parameters), constants))
    made_from = trial.task.contents()
    named_files = {content.option for content in made_from}
    options = {key: value for key, value in dataclasses.asdict(trial.task).items() if key not in named_files}
    card = Card(
        format=FORMAT,
        cell=trial.shape.cell,
        depth=trial.shape.depth,
        units=trial.shape.units,
        inputs=trial.task.inputs,
        outputs=trial.task.outputs,
        nonlinearity=trial.hyperparameters.get("nonlinearity"),
        architecture=trial.shape.architecture,
        preprocessing=trial.task.preprocessing(),
        task=trial.task.name,
        task_options=options,
        contents=tuple(dataclasses.replace(content, path=None) for content in made_from),
        hyperparameters=dict(trial.hyperparameters),
        steps=trial.steps,
        seed=trial.seed,
        data_seed=trial.data_seed,
        validation=dict(result.validation),
        evaluation=dict(result.evaluation),
        versions={
            "capax": environment.version_of("capax"),
            **{name: environment.version_of(name) for name in VERSIONS},
        },
    )
    _write(path, card, arrays)


def describe(path: Path, out: Path, scores: tuple[dict[str, Any], ...]) -> None:
    """Write a model again, with what a fit says of it. Raises as `load`."""
    card, arrays = read(path)
    _write(out, dataclasses.replace(card, scores=scores), arrays)


def _write(path: Path, card: Card, arrays: Mapping[str, np.ndarray]) -> None:
    sealed = dataclasses.replace(card, sha256=_seal(card, arrays))
    write_atomically(path, to_bytes(dict(arrays), metadata={ENTRY: json.dumps(_CARD.dump_python(sealed, mode="json"))}))


def write(path: Path, model: Model) -> None:
    """Write a model that was loaded. Raises `CapaxError` where that fails; the old file stays."""
    _write(path, model.card, named_arrays(model.network))


def load(path: str | Path) -> Model:
    """The network of a model file, such as `models/STUDY.safetensors` in a run directory.

    It needs neither what the network was trained on nor a compiler; of a user's own cell it needs
    the module, which is not imported on the word of the file: `user_code.check_trusted`.

    Raises `CapaxError` for a file that is no model, is damaged, or was written by a newer capax.
    """
    path = Path(path)
    card, arrays = read(path)
    try:
        user_code.check_trusted(card.cell, "cell")
        registry.get(card.cell)
    except CapaxError as error:
        raise CapaxError(f"{path} holds a network of a cell that is needed to run it: {error}") from error
    shape = NetworkShape(
        card.cell,
        card.depth,
        card.units,
        sum(array.size for array in arrays.values()),
        architecture=card.architecture,
    )
    if card.depth > len(arrays):
        raise CapaxError(f"{path} is damaged: {card.depth:,} layers cannot have {len(arrays):,} arrays.")
    template = _template(shape, card.hyperparameters, card.inputs, card.outputs)
    found, structure = jax.tree_util.tree_flatten_with_path(template.shapes)
    expected = {_name(place): leaf for place, leaf in found}
    wrong = [name for name in {**expected, **arrays} if _shape(expected.get(name)) != _shape(arrays.get(name))]
    if wrong:
        raise CapaxError(
            f"{path}: the cell {card.cell} of this capax is not the one it was made with: {wrong[0]} differs."
        )
    leaves = [jnp.asarray(arrays[name]) for name in expected]
    return Model(template.filled(jax.tree.unflatten(structure, leaves)), card)


def read(path: Path) -> tuple[Card, dict[str, np.ndarray]]:
    """The card and the arrays of a model file, which is checked. Raises as `load`."""
    entry, arrays = _opened(path)
    try:
        table = reading.parsed(entry)
    except reading.NoArrays:
        raise CapaxError(f"{path} is damaged: its card is no JSON.") from None
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        written = table.get("format") if isinstance(table, dict) else None
        if isinstance(written, int) and written < FORMAT:
            raise CapaxError(
                f"{path} is a model of an older capax (format {written}, now {FORMAT}): run its experiment once more, "
                "which restores the best networks in models/."
            )
        raise CapaxError(
            f"{path} is a model of format {written!r}; this capax reads format {FORMAT}: use a newer capax."
        )
    try:
        card = _CARD.validate_python(table, strict=False)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise CapaxError(f"{path} is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    if card.sha256 != _seal(card, arrays):
        raise CapaxError(f"{path} is damaged: its arrays or its card are not what was written.")
    return card, arrays


def _opened(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    if not path.exists():
        raise CapaxError(f"{path} does not exist; a run keeps its best networks in models/.")
    try:
        arrays, entries = reading.read(path)
    except reading.NoArrays as error:
        raise CapaxError(f"{path} is no safetensors file, or is cut short ({error}).") from None
    if ENTRY not in entries:
        if "manifest" in entries:
            raise CapaxError(
                f"{path} is a checkpoint, or a model of an older capax: run its experiment once more, which restores "
                "the best networks in models/."
            )
        raise CapaxError(f"{path} is not a model, but a file of another program; a run keeps its models in models/.")
    return entries[ENTRY], arrays


def _template(shape: NetworkShape, hyperparameters: Mapping[str, Any], inputs: int, outputs: int) -> Template:
    return Template(shape, hyperparameters.get("nonlinearity"), inputs, outputs)


def named_arrays(network: AnyNetwork) -> dict[str, np.ndarray]:
    """All arrays of a network by the names of their places, such as `layers.0.hidden.recurrent`."""
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(network, eqx.is_array))
    return {_name(place): np.array(leaf, order="C") for place, leaf in leaves}


def _name(place: Any) -> str:
    return jax.tree_util.keystr(place, simple=True, separator=".")


def _shape(array: Any) -> Any:
    return None if array is None else (tuple(array.shape), np.dtype(array.dtype))


def _seal(card: Card, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    table = _CARD.dump_python(dataclasses.replace(card, sha256=""), mode="json")
    digest.update(json.dumps(table, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
