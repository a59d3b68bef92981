"""Cells by name: the built-in ones, those made of others, and a user's own as `module.path:Class`, checked when it is loaded."""

import functools
import importlib
import inspect
import os
import sys
import traceback

import equinox as eqx
import jax
import jax.numpy as jnp

from capax.cells.block import block
from capax.cells.cell import Cell
from capax.cells.chrono import ChronoGRU
from capax.cells.diagonal import ComplexDiagonal, Diagonal, NormalisedDiagonal, system
from capax.cells.gru import GRU
from capax.cells.heads import with_heads
from capax.cells.intersection import Intersection
from capax.cells.linear import LinearRNN
from capax.cells.lru import LRU
from capax.cells.lstm import LSTM
from capax.cells.plain import adapt
from capax.cells.rnn import IRNN, RNN
from capax.cells.s4d import S4D
from capax.cells.transformer import Transformer, TransformerEncoder
from capax.cells.ugrnn import UGRNN
from capax.errors import CapaxError, UserCodeError, closest

BUILT_IN: dict[str, type[Cell]] = {
    "rnn": RNN,
    "irnn": IRNN,
    "ugrnn": UGRNN,
    "gru": GRU,
    "lstm": LSTM,
    "intersection": Intersection,
    "linear": LinearRNN,
    "diagonal": ComplexDiagonal,
    "diagonal_gamma": NormalisedDiagonal,
    "lru": LRU,
    "s4d": S4D,
    "chrono": ChronoGRU,
    "transformer": Transformer,
    "transformer-encoder": TransformerEncoder,
}

MADE = {
    "heads-N": "a dense linear system in N independent blocks: heads-1 is dense, heads-32 with 64 units has blocks of 2 x 2",
    "system-CELL": "of a diagonal cell: its states are its outputs, so that a network is one linear system y = Re(C h) + D x",
    "block-CELL": "the deep block (norm, recurrence, GELU, GLU, skip) around any other cell",
}
"""Names that are made of others, and what they mean."""


def get(name: str) -> type[Cell]:
    """The class of a cell by its name: a built-in one, one made of another (`MADE`), or `module.path:Class` (a `capax.Cell`, or
    a plain `equinox.Module`).

    Raises `CapaxError` for an unknown name, `UserCodeError` for a user's cell that does not import, raises, or breaks
    the contract.
    """
    if name.partition("-")[0] in _MAKERS and "-" in name:
        return _made(name)
    if ":" in name:
        return _load(name)
    if name not in BUILT_IN:
        known = [*BUILT_IN, *MADE]
        raise CapaxError(
            f"unknown cell '{name}'{closest(name, known)}; choose of {', '.join(known)}, or name your own as module.path:Class."
        )
    return BUILT_IN[name]


def _heads(name: str, number: str) -> type[Cell]:
    if not number.isdecimal() or int(number) < 1:
        raise CapaxError(f"cell '{name}' needs a number of heads of at least 1, as in heads-4.")
    return with_heads(int(number))


def _system(name: str, inner: str) -> type[Cell]:
    cell = get(inner)
    if not issubclass(cell, Diagonal):
        diagonal = [known for known, candidate in BUILT_IN.items() if issubclass(candidate, Diagonal)]
        raise CapaxError(f"cell '{name}': only a diagonal cell makes a system, of {', '.join(diagonal)}.")
    return system(cell)


def _block(name: str, inner: str) -> type[Cell]:
    cell = get(inner)
    if cell.direct or cell.square or not cell.recurrent():
        raise CapaxError(f"cell '{name}': {inner} does not go into a block, which needs a layer of its own kind.")
    return block(cell)


_MAKERS = {"heads": _heads, "system": _system, "block": _block}


@functools.cache
def _made(name: str) -> type[Cell]:
    maker, _, argument = name.partition("-")
    return _MAKERS[maker](name, argument)


@functools.cache
def _load(name: str) -> type[Cell]:
    module_name, _, class_name = name.partition(":")
    if not class_name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise CapaxError(f"cell '{name}' is not of the form module.path:Class.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise CapaxError(f"cell '{name}': there is no module '{error.name}' here or on PYTHONPATH.") from None
        raise _blame(name, f"importing {module_name} failed", error) from error
    except (Exception, SystemExit) as error:
        raise _blame(name, f"importing {module_name} failed", error) from error
    cell = getattr(module, class_name, None)
    if not inspect.isclass(cell):
        classes = [
            key for key, value in vars(module).items() if inspect.isclass(value) and value.__module__ == module.__name__
        ]
        raise CapaxError(
            f"cell '{name}': module {module_name} has no class '{class_name}'{closest(class_name, classes)}; "
            f"it defines {', '.join(classes) or 'none'}."
        )
    if not issubclass(cell, Cell):
        if not issubclass(cell, eqx.Module):
            raise CapaxError(f"cell '{name}' is neither a capax.Cell nor an equinox.Module; subclass capax.Cell.")
        cell = adapt(cell)
    _check(name, cell)
    return cell


def _blame(name: str, what: str, error: BaseException) -> UserCodeError:
    """An error that carries the user's own part of the traceback, from its first frame outside capax and its libraries."""
    frames = traceback.extract_tb(error.__traceback__)
    libraries = (os.path.dirname(os.path.dirname(eqx.__file__)), os.path.dirname(importlib.__file__))
    inside = (os.path.dirname(os.path.dirname(__file__)), *libraries)
    own = [frame for frame in frames if not frame.filename.startswith((*inside, "<frozen"))]
    reason = str(error).strip().splitlines()
    line = f"cell '{name}': {what}: {type(error).__name__}: {reason[0] if reason else 'no message'}"
    return UserCodeError(line, "".join(traceback.format_list(own)))


def _check(name: str, cell: type[Cell]) -> None:
    """Run the cell on shapes alone: states keep their shapes and dtypes, outputs are (units, batch)."""
    units, batch = 4 * cell.multiple, 3
    inputs = units if cell.square else 5

    def run():
        instance = cell(inputs, units)
        if not cell.recurrent():
            return (), (), instance.whole(jnp.zeros((7, inputs, batch)))[0]
        state = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[..., None], (*leaf.shape, batch)), instance.initial)
        after, output = instance.step(state, instance.project(jnp.zeros((inputs, batch))))
        return state, after, output

    try:
        before, after, output = jax.eval_shape(run)
    except Exception as error:
        raise _blame(name, f"a step with {inputs} inputs and {units} units raised", error) from error
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise UserCodeError(
            f"cell '{name}': step returns a state of structure {jax.tree.structure(after)}, "
            f"but the initial state has {jax.tree.structure(before)}."
        )
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise UserCodeError(
                f"cell '{name}': step turns a state of shape {old.shape} and type {old.dtype} "
                f"into {new.shape}, {new.dtype}; it must keep both."
            )
    if getattr(output, "shape", None) != (units, batch):
        raise UserCodeError(
            f"cell '{name}': step's output has shape {getattr(output, 'shape', None)} where (units, batch) = {(units, batch)} is due."
        )
