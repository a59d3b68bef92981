"""Which axis is the samples' axis: by rules, never by a length.

Almost all arrays here are as long as a tile in every axis.
"""

import pytest

from capax.fused.labels import Labels, label
from capax.fused.program import Equation, Value
from capax.fused.refusal import Refusal
from tests.fused.programs import TILE, broadcast, concatenate, elementwise, one, product, program, reduce_sum, reshape
from tests.fused.programs import values as make

SQUARE = (TILE, TILE)


def labelled(inputs, equations, outputs, marks, constants=()):
    found = label(program(inputs, equations, outputs, constants), marks)
    assert isinstance(found, Labels), found
    return found


@pytest.mark.parametrize("axis", [0, 1])
def test_elementwise_operations_keep_the_axis_though_all_axes_are_alike(axis):
    (x,) = make(SQUARE)
    doubled = elementwise("add", x, x)
    tanh = elementwise("tanh", doubled.output)
    labels = labelled([x], [doubled, tanh], tanh.outputs, {x: axis})
    assert labels.axis(tanh.output) == axis
    assert labels.others(tanh.output) == (TILE,)


def test_a_transpose_moves_the_axis():
    (x,) = make(SQUARE)
    turned = Equation("transpose", {"permutation": (1, 0)}, (x,), make(SQUARE))
    assert labelled([x], [turned], turned.outputs, {x: 1}).axis(turned.output) == 0


def test_a_weight_as_large_as_the_tile_has_no_samples():
    """W x: the product has those of x; its gradient, an outer product, sums over them."""
    w, x = make(SQUARE, SQUARE)
    forward = product(w, x)
    outer = product(forward.output, x, 1, 1)
    labels = labelled([w, x], [forward, outer], outer.outputs, {x: 1})
    assert [labels.axis(value) for value in (w, x, forward.output, outer.output)] == [None, 1, 1, None]
    assert labels.sums_samples(outer) and not labels.sums_samples(forward)


def test_an_array_that_is_made_has_samples_where_it_meets_them():
    """Zeros of a state's shape, from a number; other such zeros meet a weight and have none."""
    w, x = make(SQUARE, SQUARE)
    zeros, others = broadcast(one(0.0), SQUARE, ()), broadcast(one(0.0), SQUARE, ())
    met, plain = elementwise("add", zeros.output, x), elementwise("add", others.output, w)
    labels = labelled([w, x], [zeros, others, met, plain], [met.output, plain.output], {x: 1})
    assert labels.axis(zeros.output) == 1 and labels.axis(others.output) is None


def test_an_output_that_must_have_samples_gives_them_to_what_is_made():
    (x,) = make((3, TILE))
    zeros = broadcast(one(0.0), (3, TILE), ())
    assert labelled([x], [zeros], zeros.outputs, {x: 1, zeros.output: 1}).axis(zeros.output) == 1
    assert labelled([x], [zeros], zeros.outputs, {x: 1}).axis(zeros.output) is None


def test_a_number_for_each_unit_is_repeated_for_all_samples():
    bias, x = make((TILE,), SQUARE)
    wide = broadcast(bias, SQUARE, (0,))
    sum_ = elementwise("add", wide.output, x)
    labels = labelled([bias, x], [wide, sum_], sum_.outputs, {x: 1})
    assert labels.axis(bias) is None and labels.axis(wide.output) == 1


def test_an_axis_of_length_one_is_repeated_by_an_elementwise_operation():
    bias, x = make((TILE, 1), SQUARE)
    sum_ = Equation("add", {}, (bias, x), make(SQUARE))
    labels = labelled([bias, x], [sum_], sum_.outputs, {x: 1})
    assert labels.axis(bias) is None and labels.axis(sum_.output) == 1


def test_reshapes_of_the_other_axes_keep_the_samples():
    (x,) = make((4, TILE, TILE))
    flat = reshape(x, (4 * TILE, TILE))
    split = reshape(flat.output, (2, 1, 2 * TILE, TILE))
    labels = labelled([x], [flat, split], split.outputs, {x: 2})
    assert labels.axis(flat.output) == 1 and labels.axis(split.output) == 3


def test_sums_of_rows_keep_the_samples_and_sums_over_samples_lose_them():
    (x,) = make(SQUARE)
    rows, samples = reduce_sum(x, 0), reduce_sum(x, 1)
    labels = labelled([x], [rows, samples], [rows.output, samples.output], {x: 1})
    assert labels.axis(rows.output) == 0 and labels.axis(samples.output) is None
    assert labels.sums_samples(samples) and not labels.sums_samples(rows)


def refusal(equations, outputs, inputs, marks, constants=()):
    found = label(program(inputs, equations, outputs, constants), marks)
    assert isinstance(found, Refusal)
    return found.reason


def test_what_takes_samples_apart_or_mixes_them_is_refused():
    (x,) = make(SQUARE)
    part = Equation("slice", {"start_indices": (0, 1), "limit_indices": (TILE, TILE), "strides": None}, (x,),
                    make((TILE, TILE - 1)))  # fmt: skip
    joined, flat = concatenate(1, x, x), reshape(x, (TILE * TILE,))
    numbers = Equation("iota", {"dimension": 1, "shape": SQUARE}, (), make(SQUARE))
    numbered = elementwise("mul", x, numbers.output)
    squared = product(x, x, 0, 0)
    for equations, reason in [
        ([part], "a slice of the samples"),
        ([joined], "samples put side by side"),
        ([flat], f"a reshape of {SQUARE} to {(TILE * TILE,)} that mixes samples with another axis"),
        ([numbers, numbered], "samples that are numbered"),
        ([squared], "an array with two axes of samples (samples that depend on each other)"),
    ]:
        assert refusal(equations, equations[-1].outputs, [x], {x: 1}) == reason


def test_an_array_without_samples_that_is_used_for_each_sample_is_refused():
    w, x, c = make(SQUARE, SQUARE, SQUARE)
    both, constant = elementwise("mul", w, x), elementwise("mul", c, x)
    reason = "an array that is the same for all samples has an axis that is used as theirs"
    assert refusal([both], both.outputs, [w, x], {x: 1}) == reason
    assert refusal([constant], constant.outputs, [x], {x: 1}, [c]) == reason


def test_operations_and_types_that_kernels_lack_are_named():
    (x,) = make(SQUARE)
    long = Value(SQUARE, "float64")
    whole = Value(SQUARE, "int32_t")
    assert (
        refusal([elementwise("cumsum", x)], [x], [x], {x: 1}) == "the operation 'cumsum' is not one that kernels know"
    )
    assert refusal([], [long], [long], {long: 1}) == "numbers of type float64"
    assert refusal([elementwise("tanh", whole)], [whole], [whole], {whole: 1}) == "'tanh' of integers"
    batched = Equation("dot_general", {"dimension_numbers": (((1,), (1,)), ((0,), (0,)))}, (x, x), make((TILE,)))
    assert refusal([batched], batched.outputs, [x], {x: 1}).endswith("(a batched product)")
