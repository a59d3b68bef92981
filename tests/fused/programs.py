"""Small intermediate programs, written by hand."""

import numpy as np

from capax.fused.program import Constant, Equation, Traced, Value

TILE = 16


def values(*shapes):
    return tuple(Value(shape, "float") for shape in shapes)


def one(number=1.0):
    return Constant(number, "float")


def elementwise(name, *inputs):
    """An operation on arrays of the shape of its largest operand."""
    shape = max((operand.shape for operand in inputs), key=len)
    return Equation(name, {}, inputs, values(shape))


def broadcast(source, shape, axes):
    params = {"broadcast_dimensions": axes, "shape": shape}
    return Equation("broadcast_in_dim", params, (source,), values(shape))


def reshape(source, shape):
    return Equation("reshape", {"new_sizes": shape}, (source,), values(shape))


def concatenate(axis, *inputs):
    shape = list(inputs[0].shape)
    shape[axis] = sum(operand.shape[axis] for operand in inputs)
    return Equation("concatenate", {"dimension": axis}, inputs, values(tuple(shape)))


def reduce_sum(source, *axes):
    shape = tuple(length for axis, length in enumerate(source.shape) if axis not in axes)
    return Equation("reduce_sum", {"axes": axes}, (source,), values(shape))


def product(a, b, a_axis=1, b_axis=0):
    """Matrix times matrix, over one axis of each."""
    shape = (a.shape[1 - a_axis], b.shape[1 - b_axis])
    params = {"dimension_numbers": (((a_axis,), (b_axis,)), ((), ()))}
    return Equation("dot_general", params, (a, b), values(shape))


def program(inputs, equations, outputs, constants=()):
    """`constants`: values, whose numbers are all 1."""
    arrays = tuple((value, np.ones(value.shape, np.float32)) for value in constants)
    return Traced(tuple(inputs), arrays, tuple(equations), tuple(outputs))
