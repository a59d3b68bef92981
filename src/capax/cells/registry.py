"""Cells by name: the built-in ones, those made of others, and a user's own as `module.path:Class`,
checked when it is loaded.
"""

import functools
from typing import TypeGuard

import equinox as eqx

from capax import user_code
from capax.cells import contract
from capax.cells.block import block
from capax.cells.cell import Cell, Layer
from capax.cells.chrono import ChronoGRU
from capax.cells.diagonal import ComplexDiagonal, Diagonal, NormalisedDiagonal, System, system
from capax.cells.gru import GRU
from capax.cells.gru_reset_after import GRUResetAfter
from capax.cells.heads import Heads, with_heads
from capax.cells.intersection import Intersection
from capax.cells.linear import LinearRNN
from capax.cells.lru import LRU
from capax.cells.lstm import LSTM
from capax.cells.plain import adapt
from capax.cells.rnn import IRNN, RNN
from capax.cells.s4d import S4D
from capax.cells.transformer import Attending, Transformer, TransformerEncoder
from capax.cells.ugrnn import UGRNN
from capax.cells.wiring import Wiring
from capax.errors import CapaxError, closest

BUILT_IN: dict[str, type[Layer]] = {
    "rnn": RNN,
    "irnn": IRNN,
    "ugrnn": UGRNN,
    "gru": GRU,
    "lstm": LSTM,
    "intersection": Intersection,
    "gru-reset-after": GRUResetAfter,
    "linear": LinearRNN,
    "diagonal": ComplexDiagonal,
    "diagonal_gamma": NormalisedDiagonal,
    "lru": LRU,
    "s4d": S4D,
    "chrono": ChronoGRU,
    "transformer": Transformer,
    "transformer-encoder": TransformerEncoder,
}

WIRING: dict[type[Layer], Wiring] = {
    Attending: Wiring(norm=True),
    Heads: Wiring(direct=True),
    Intersection: Wiring(least_depth=2),
    System: Wiring(direct=True),
}
"""How networks of layers of these classes, and of their subclasses, are wired; all others
plainly.
"""

MADE = {
    "heads-N": "a dense linear system in N independent blocks: heads-1 is dense, heads-32 with 64 units has blocks of 2 x 2",
    "system-CELL": "of a diagonal cell: its states are its outputs, so that a network is one linear system y = Re(C h) + D x",
    "block-CELL": "the deep block (norm, recurrence, GELU, GLU, skip) around any other cell",
}
"""Names that are made of others, and what they mean."""


def get(cell: str | type) -> type[Layer]:
    """The class of a cell by its name: a built-in one, one made of another (`MADE`), or
    `module.path:Class` (a `capax.Cell`, or a plain `equinox.Module`); a class itself is checked
    likewise.

    Raises `CapaxError` for an unknown name, `UserCodeError` for a user's cell that does not import,
    raises, or breaks the contract.
    """
    kind = unchecked(cell)
    if not kind.__module__.startswith("capax."):
        _require(cell if isinstance(cell, str) else cell.__name__, kind)
    return kind


def unchecked(cell: str | type) -> type[Layer]:
    """As `get`, but a user's cell is not held to the contract. Raises the same, where it cannot be
    loaded.
    """
    if not isinstance(cell, str):
        return _layer(cell, cell.__name__)
    if cell.partition("-")[0] in _MAKERS and "-" in cell:
        return _made(cell)
    if user_code.is_path(cell):
        return _layer(user_code.load(cell, "cell"), cell)
    if cell not in BUILT_IN:
        known = [*BUILT_IN, *MADE]
        raise CapaxError(
            f"unknown cell '{cell}'{closest(cell, known)}; choose of {', '.join(known)}, "
            "or name your own as module.path:Class."
        )
    return BUILT_IN[cell]


def name_of(cell: str | type) -> str:
    """The name by which `get` finds a cell again. Raises `CapaxError` where it would not."""
    if isinstance(cell, str):
        return cell
    return next((name for name, known in BUILT_IN.items() if known is cell), None) or user_code.path_of(cell, "cell")


def wiring(layer: type[Layer]) -> Wiring:
    """How a network of layers of this class is wired where nothing else is said."""
    return next((WIRING[base] for base in layer.__mro__ if base in WIRING), Wiring())


def goes_into_block(layer: type[Layer]) -> TypeGuard[type[Cell]]:
    """Whether a deep block can be made around a layer: a recurrence whose input may have any size,
    with no direct part.
    """
    return issubclass(layer, Cell) and not layer.demands.square and not wiring(layer).direct


def _heads(name: str, number: str) -> type[Layer]:
    if not number.isdecimal() or int(number) < 1:
        raise CapaxError(f"cell '{name}' needs a number of heads of at least 1, as in heads-4.")
    return with_heads(int(number))


def _system(name: str, inner: str) -> type[Layer]:
    cell = get(inner)
    if not issubclass(cell, Diagonal):
        diagonal = [known for known, candidate in BUILT_IN.items() if issubclass(candidate, Diagonal)]
        raise CapaxError(f"cell '{name}': only a diagonal cell makes a system, of {', '.join(diagonal)}.")
    return system(cell)


def _block(name: str, inner: str) -> type[Layer]:
    cell = get(inner)
    if not goes_into_block(cell):
        raise CapaxError(f"cell '{name}': {inner} does not go into a block, which needs a layer of its own kind.")
    return block(cell)


_MAKERS = {"heads": _heads, "system": _system, "block": _block}


@functools.cache
def _made(name: str) -> type[Layer]:
    maker, _, argument = name.partition("-")
    return _MAKERS[maker](name, argument)


_require = functools.cache(contract.require)


def _layer(cell: type, name: str) -> type[Layer]:
    """A class that is a layer, or that is made one of a plain module."""
    if issubclass(cell, Layer):
        return cell
    if not issubclass(cell, eqx.Module):
        raise CapaxError(f"cell '{name}' is neither a capax.Cell nor an equinox.Module; subclass capax.Cell.")
    return adapt(cell)
