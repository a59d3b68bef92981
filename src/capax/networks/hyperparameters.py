"""The hyperparameters of a network, as follows from what its cell declares.

For each part of an affine map: `<part>_init` and `<part>_scale` of the recurrent matrix, and
`<part>_input_scale`; for the network: `nonlinearity`, `entry_scale`, `readout_scale`,
`bias_distribution`, `bias_scale`; and the cell's own by name.
"""

from collections.abc import Iterable

from capax.cells.cell import AffineDeclaration, Layer, affine_declarations, scalar_declarations
from capax.errors import CapaxError, closest
from capax.hyperparameters import FINITE, NOT_NEGATIVE, Choice, Hyperparameter, Number, joined


def hyperparameters_of(cell: type[Layer], *, entry: bool = False) -> dict[str, Hyperparameter]:
    """All hyperparameters of networks of a cell, by name, in the order of the tuner's space.

    `entry`: whether the network has an input map though the cell asks for none (an embedding).
    The ranges are those of Collins et al. 2017, appendix A. By default recurrent matrices are
    orthogonal where the cell allows it, scales are 1 and biases 0. Raises `CapaxError` where a name
    is declared twice.
    """
    name = cell.__name__
    return joined(
        (f"cell {name}", _nonlinearity(cell)),
        *(
            (f"the affine part '{block}' of cell {name}", _of_part(block, declaration))
            for declaration in affine_declarations(cell).values()
            for block in declaration.blocks
        ),
        ("the network", _of_network(cell, entry or cell.demands.square)),
        (f"cell {name}", scalar_declarations(cell).values()),
    )


def _nonlinearity(cell: type[Layer]) -> list[Hyperparameter]:
    choices = cell.nonlinearities
    if not choices:
        return []
    return [
        Choice("nonlinearity", choices[0], choices, "The function s of the cell's equations.", tuned=len(choices) > 1)
    ]


def _of_part(part: str, declaration: AffineDeclaration) -> list[Hyperparameter]:
    """What one part of an affine map has: the kind and the scale of its recurrent matrix, the scale
    of its input matrix.
    """
    allowed = declaration.recurrent
    default = "orthogonal" if "orthogonal" in allowed else allowed[0]
    kind = Choice(f"{part}_init", default, allowed, f"The recurrent matrix of {part} at the start.", len(allowed) > 1)
    recurrent = f"Scale of the recurrent matrix of {part} at the start; an identity has none."
    tuned = allowed != ("identity",)
    return [
        kind,
        _scale(f"{part}_scale", recurrent, low=0.01, tuned=tuned),
        _scale(f"{part}_input_scale", f"Scale of the input matrix of {part} at the start."),
    ]


def _of_network(cell: type[Layer], entered: bool) -> list[Hyperparameter]:
    """What belongs to the network: the maps before and behind the cells, and the biases."""
    entry = [_scale("entry_scale", "Scale of the input map's matrix at the start.")] if entered else []
    biased = is_biased(cell)
    spread = "Whether biases start at one constant or are drawn from a normal distribution."
    size = "That constant, or the standard deviation of that distribution."
    return [
        *entry,
        _scale("readout_scale", "Scale of the readout's matrix at the start."),
        Choice("bias_distribution", "constant", ("constant", "normal"), spread, tuned=biased),
        Number("bias_scale", 0.0, -2.0, 2.0, size, allowed=FINITE, tuned=biased),
    ]


def _scale(name: str, meaning: str, low: float = 1e-3, tuned: bool = True) -> Number:
    return Number(name, 1.0, low, 2.0, meaning, log=True, allowed=NOT_NEGATIVE, tuned=tuned)


def is_biased(cell: type[Layer]) -> bool:
    """Whether biases start anywhere but at zero."""
    return any(declaration.biased for declaration in affine_declarations(cell).values())


def check_names(cell: type[Layer], given: Iterable[str], *, entry: bool = False) -> None:
    """Raise `CapaxError` for a name that is no hyperparameter of networks of a cell."""
    known = list(hyperparameters_of(cell, entry=entry))
    for name in given:
        if name not in known:
            raise CapaxError(
                f"{cell.__name__} has no hyperparameter '{name}'{closest(name, known)}; it has {', '.join(known)}."
            )
