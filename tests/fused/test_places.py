"""What is computed before, in, and after the loop over tiles; and where results are written."""

from capax.fused.labels import Labels, label
from capax.fused.places import Part, Place, Pointer, destinations, place, result_refused
from capax.fused.program import Equation
from capax.fused.refusal import Refusal
from tests.fused.programs import TILE, concatenate, elementwise, one, product, program, reduce_sum
from tests.fused.programs import values as make


def labels_of(traced, marks):
    found = label(traced, marks)
    assert isinstance(found, Labels)
    return found


def test_each_equation_is_placed_by_what_it_depends_on():
    w, x = make((3, 3), (3, TILE))
    scaled = elementwise("mul", w, one(0.5))  # without samples
    forward = product(scaled.output, x)
    total = reduce_sum(forward.output, 1)
    after = elementwise("tanh", total.output)
    traced = program([w, x], [scaled, forward, total, after], after.outputs)
    assert place(traced, labels_of(traced, {x: 1})) == {
        scaled: Place.BEFORE, forward: Place.LOOP, total: Place.SUM, after: Place.AFTER
    }  # fmt: skip


def test_samples_that_depend_on_their_sum_are_refused():
    (x,) = make((TILE,))
    total = reduce_sum(x, 0)
    centred = elementwise("sub", x, total.output)
    traced = program([x], [total, centred], centred.outputs)
    assert place(traced, labels_of(traced, {x: 0})) == Refusal("samples that depend on a sum over samples")


def test_products_that_the_runtime_lacks_are_refused():
    w, v, x = make((2, 3, 4), (2, 3, 4), (4, TILE))
    params = {"dimension_numbers": (((2,), (0,)), ((), ()))}
    many = Equation("dot_general", params, (w, x), make((2, 3, TILE)))
    params = {"dimension_numbers": (((1, 2), (0, 1)), ((), ()))}
    (y,) = make((3, 4, TILE))
    deep = Equation("dot_general", params, (v, y), make((2, TILE)))
    for equation, inputs, marks, reason in [
        (many, [w, x], {x: 1}, "a product with several free axes"),
        (deep, [v, y], {y: 2}, "a product with several contracted axes"),
    ]:
        traced = program(inputs, [equation], equation.outputs)
        assert place(traced, labels_of(traced, marks)) == Refusal(reason)


def test_values_are_written_where_they_belong_at_once():
    (x,) = make((3, TILE))
    up, down = elementwise("exp", x), elementwise("neg", x)
    joined = concatenate(0, up.output, down.output, x)
    traced = program([x], [up, down, joined], [joined.output, down.output])
    found = destinations(traced, labels_of(traced, {x: 1}), ((down.output, "t0"), (joined.output, "o0")))
    assert found == {up.output: Part(joined, 0), down.output: Pointer("t0"), joined.output: Pointer("o0")}


def test_outputs_have_samples_or_not_as_is_asked():
    (x,) = make((3, TILE))
    total = reduce_sum(x, 1)
    traced = program([x], [total], total.outputs)
    labels = labels_of(traced, {x: 1})
    assert result_refused(x, labels, samples=True) is None
    assert result_refused(total.output, labels, samples=False) is None
    assert result_refused(total.output, labels, samples=True) == Refusal("a result without samples")
    assert result_refused(x, labels, samples=False) == Refusal("an output for each sample, not a sum over samples")
