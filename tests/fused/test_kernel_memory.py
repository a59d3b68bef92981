"""Where values lie, and which buffers share memory."""

import dataclasses

from capax.fused.groups import group
from capax.fused.labels import Labels, label
from capax.fused.memory import OuterTotal, RowTotal, allocate, lifetimes, share
from capax.fused.places import destinations, place
from capax.fused.program import Equation
from capax.fused.views import View, dense
from tests.fused.programs import TILE, concatenate, elementwise, product, program, reduce_sum, reshape
from tests.fused.programs import values as make


def allocated(traced, marks, results=(), pointers=None):
    labels = label(traced, marks)
    assert isinstance(labels, Labels)
    places = place(traced, labels)
    assert isinstance(places, dict)
    destined = destinations(traced, labels, results)
    return allocate(traced, labels, group(traced, labels, places, destined, results), destined, pointers or {})


def test_the_samples_are_innermost_whichever_axis_they_are():
    assert dense((3, TILE, 5), 1) == (5 * TILE, 1, TILE)
    assert dense((3, TILE, 5), 2) == (TILE * 5, 5, 1)
    assert dense((3, 5), None) == (5, 1)


def test_views_cost_nothing():
    whole = View.whole("b1", (4, TILE), 1, "float")
    assert whole.sliced(0, 1, 2).offset == TILE
    turned = whole.transposed((1, 0))
    assert turned.samples == 0 and turned.strides == (1, TILE)
    assert whole.reshaped((2, 2, TILE), 2) == dataclasses.replace(
        whole, shape=(2, 2, TILE), strides=(2 * TILE, TILE, 1), samples=2
    )
    assert whole.sliced(0, 0, 2).broadcast((3, 2, TILE), (1, 2), 2).strides == (0, TILE, 1)
    cube = View.whole("b2", (4, 2, TILE), 2, "float")
    assert cube.transposed((1, 0, 2)).reshaped((8, TILE), 1) is None  # needs a copy
    assert whole.at(["i", "c"]) == "b1 + i * 16 + c * 1"


def test_a_product_of_a_turned_matrix_and_parts_of_a_whole_lie_as_the_kernel_writes_them():
    w, x = make((3, 2), (3, TILE))
    turned = product(x, w, 0, 0)  # samples first, for JAX; rows first in memory
    total = reduce_sum(turned.output, 0)
    memory = allocated(program([w, x], [turned, total], total.outputs), {x: 1})
    view = memory.views[turned.output]
    assert view.shape == (TILE, 2) and view.strides == (1, TILE) and view.samples == 0

    (x,) = make((3, TILE))
    exp = elementwise("exp", x)
    joined = concatenate(0, x, exp.output)
    memory = allocated(program([x], [exp, joined], joined.outputs), {x: 1}, ((joined.output, "o0"),), {x: "x0"})
    assert memory.views[exp.output] == View("o0", 3 * TILE, (3, TILE), (TILE, 1), 1, "float")
    assert memory.places == {}  # all is read and written where pointers point


def test_accumulators_have_a_number_a_lane_or_whole_vectors_where_they_are_wide():
    narrow, wide, x = make((3, TILE), (40, TILE), (2, TILE))
    first, second = product(x, narrow, 1, 1), product(x, wide, 1, 1)
    rows = reduce_sum(x, 1)
    traced = program([narrow, wide, x], [first, second, rows], [e.output for e in (first, second, rows)])
    totals = allocated(traced, {narrow: 1, wide: 1, x: 1}).totals
    assert {value: type(total) for value, total in totals.items()} == {
        first.output: OuterTotal, second.output: OuterTotal, rows.output: RowTotal
    }  # fmt: skip
    assert totals[first.output].floats == "6 * LANES"
    assert totals[second.output].floats == "2 * ((40 + LANES - 1) / LANES * LANES)"
    assert totals[rows.output].floats == "2 * LANES"


def test_a_reshape_that_strides_cannot_express_is_a_copy():
    (x,) = make((4, 2, TILE))
    flat = reshape(x, (8, TILE))
    turned = Equation("transpose", {"permutation": (1, 0, 2)}, (x,), make((2, 4, TILE)))
    again = reshape(turned.output, (8, TILE))
    totals = [reduce_sum(flat.output, 1), reduce_sum(again.output, 1)]
    traced = program([x], [flat, turned, again, *totals], [total.output for total in totals])
    memory = allocated(traced, {x: 2})
    assert set(memory.copies) == {again}
    assert memory.views[again.output].base == memory.copies[again].base != memory.views[flat.output].base


def test_lives_are_from_the_first_to_the_last_touch():
    touched = [{"a"}, {"a", "b"}, {"b", "c"}]
    assert lifetimes(touched, {"c", "d"}) == {"a": (0, 1), "b": (1, 2), "c": (-1, 2), "d": (-1, -1)}


def test_buffers_of_one_size_share_memory_where_their_lives_do_not_meet():
    sizes = {"a": 48, "b": 48, "c": 48, "d": 20}
    lives = {"a": (0, 1), "b": (1, 2), "c": (2, 3), "d": (2, 3)}
    places, floats = share({"w": 10}, sizes, lives)
    assert places == {"w": 0, "a": 16, "b": 64, "c": 16, "d": 112}
    assert floats == 16 + 48 + 48 + 32


def test_no_two_buffers_that_live_together_overlap():
    sizes = {f"b{i}": 16 * (1 + i % 3) for i in range(30)}
    lives = {f"b{i}": (i, i + 1 + i % 5) for i in range(30)}
    places, floats = share({}, sizes, lives)
    for one, (first, last) in lives.items():
        for other, (begin, end) in lives.items():
            if one != other and first <= end and begin <= last:
                apart = places[one] + sizes[one] <= places[other] or places[other] + sizes[other] <= places[one]
                assert apart, (one, other)
        assert places[one] + sizes[one] <= floats
