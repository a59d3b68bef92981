"""The order of the work in the loop: what runs together, what is stored, what waits."""

from capax.fused.groups import Copy, Gather, Give, Multiply, Pass, Put, See, SumRows, group, spread
from capax.fused.labels import Labels, label
from capax.fused.places import destinations, place
from tests.fused.programs import TILE, broadcast, concatenate, elementwise, one, product, program, reduce_sum
from tests.fused.programs import values as make

SHAPE = (3, TILE)


def schedule(traced, marks, results=()):
    labels = label(traced, marks)
    assert isinstance(labels, Labels)
    places = place(traced, labels)
    assert isinstance(places, dict)
    return group(traced, labels, places, destinations(traced, labels, results), results)


def test_a_chain_and_the_sums_that_use_it_are_one_pass():
    (x,) = make(SHAPE)
    tanh = elementwise("tanh", x)
    square = elementwise("mul", tanh.output, tanh.output)
    total, rows = reduce_sum(square.output, 0, 1), reduce_sum(tanh.output, 1)
    found = schedule(program([x], [tanh, square, total, rows], [total.output, rows.output]), {x: 1})
    (step,) = found.loop
    assert isinstance(step, Pass)
    assert step.equations == (tanh, square) and set(step.sums) == {total, rows}
    assert step.stored == ()  # nothing reads them later


def test_what_a_product_reads_is_stored_though_it_is_cheap():
    w, x = make((3, 3), SHAPE)
    tanh = elementwise("tanh", x)
    more = elementwise("add", tanh.output, one())
    multiplied = product(w, more.output)
    last = elementwise("mul", multiplied.output, more.output)
    total = reduce_sum(last.output, 0, 1)
    traced = program([w, x], [tanh, more, multiplied, last, total], total.outputs)
    first, multiply, second = schedule(traced, {x: 1}).loop
    assert isinstance(first, Pass) and isinstance(multiply, Multiply) and isinstance(second, Pass)
    assert first.equations == (tanh, more) and first.stored == (more.output,)
    assert second.equations == (last,)


def test_a_cheap_value_that_only_passes_use_is_computed_again():
    """1 - y serves two passes, parted by a product: it is in neither's memory."""
    w, x = make((3, 3), SHAPE)
    tanh = elementwise("tanh", x)
    gate = elementwise("sub", tanh.output, one())
    used = elementwise("exp", gate.output)
    multiplied = product(w, used.output)
    last = elementwise("mul", multiplied.output, gate.output)
    total = reduce_sum(last.output, 0, 1)
    traced = program([w, x], [tanh, gate, used, multiplied, last, total], total.outputs)
    first, _, second = schedule(traced, {x: 1}).loop
    assert isinstance(first, Pass) and isinstance(second, Pass)
    assert set(first.stored) == {tanh.output, used.output}
    assert second.equations == (gate, last)


def test_a_product_that_is_only_added_to_begins_with_the_other():
    w, x, y = make((3, 3), SHAPE, SHAPE)
    multiplied = product(w, x)
    sum_ = elementwise("add", y, multiplied.output)
    tanh = elementwise("tanh", sum_.output)
    traced = program([w, x, y], [multiplied, sum_, tanh], tanh.outputs)
    found = schedule(traced, {x: 1, y: 1}, ((tanh.output, "o0"),))
    assert found.loop[0] == Multiply(multiplied, x, y, sum_.output)
    assert isinstance(found.loop[1], Pass) and found.loop[1].equations == (tanh,)


def test_outer_products_that_are_only_added_are_gathered_as_one():
    a, b, c, d = make(SHAPE, SHAPE, SHAPE, SHAPE)
    first, second = product(a, b, 1, 1), product(c, d, 1, 1)
    sum_ = elementwise("add_any", first.output, second.output)
    traced = program([a, b, c, d], [first, second, sum_], sum_.outputs)
    found = schedule(traced, dict.fromkeys((a, b, c, d), 1))
    assert found.loop == (Gather(sum_.output, ((first, a, b), (second, c, d))),)
    assert found.after == ()


def test_a_value_repeated_for_all_samples_is_copied_for_a_product():
    w, bias, x = make((3, 3), (3,), SHAPE)
    wide = broadcast(bias, SHAPE, (0,))
    multiplied = product(w, wide.output)
    sum_ = elementwise("mul", multiplied.output, x)
    total = reduce_sum(sum_.output, 1)
    traced = program([w, bias, x], [wide, multiplied, sum_, total], total.outputs)
    see, copy, multiply, _ = schedule(traced, {x: 1}).loop
    assert see == See(wide) and isinstance(copy, Copy) and copy.source is wide.output
    assert isinstance(multiply, Multiply) and multiply.values is copy.to


def test_only_broadcasts_along_the_samples_are_spread():
    bias, x = make((3,), (TILE,))
    along, across = broadcast(bias, SHAPE, (0,)), broadcast(x, SHAPE, (1,))
    sum_ = elementwise("add", along.output, across.output)
    traced = program([bias, x], [along, across, sum_], sum_.outputs)
    labels = label(traced, {x: 0})
    assert isinstance(labels, Labels) and spread(traced, labels) == {along.output}


def test_parts_are_written_in_place_and_others_copied():
    (x,) = make(SHAPE)
    exp = elementwise("exp", x)
    joined = concatenate(0, exp.output, x)
    found = schedule(program([x], [exp, joined], joined.outputs), {x: 1}, ((joined.output, "o0"),))
    one_pass, put = found.loop
    assert isinstance(one_pass, Pass) and one_pass.stored == (exp.output,)
    assert isinstance(put, Put) and put.part.number == 1


def test_a_sum_that_begins_a_product_is_copied_to_where_it_belongs():
    """The product writes it to memory of its own; a copy goes to a pointer, or into a whole."""
    w, x, y = make((3, 3), SHAPE, SHAPE)
    multiplied = product(w, x)
    sum_ = elementwise("add", y, multiplied.output)
    marks = {x: 1, y: 1}
    found = schedule(program([w, x, y], [multiplied, sum_], sum_.outputs), marks, ((sum_.output, "k0"),))
    assert found.loop == (Multiply(multiplied, x, y, sum_.output), Give(sum_.output, "k0"))
    joined = concatenate(0, x, sum_.output)
    found = schedule(program([w, x, y], [multiplied, sum_, joined], joined.outputs), marks, ((joined.output, "o0"),))
    assert [step.part.number for step in found.loop if isinstance(step, Put)] == [0, 1]


def test_a_result_that_is_an_input_is_given_by_a_copy():
    (x,) = make(SHAPE)
    assert schedule(program([x], [], [x]), {x: 1}, ((x, "t0"),)).loop == (Give(x, "t0"),)


def test_arrays_of_one_shape_with_samples_in_different_axes_do_not_run_together():
    x, y = make((TILE, TILE), (TILE, TILE))
    up, down = elementwise("exp", x), elementwise("tanh", y)
    both = [reduce_sum(up.output, 0, 1), reduce_sum(down.output, 0, 1)]
    traced = program([x, y], [up, down, *both], [e.output for e in both])
    assert [step.equations for step in schedule(traced, {x: 0, y: 1}).loop if isinstance(step, Pass)] == [
        (up,),
        (down,),
    ]


def test_sums_over_other_axes_are_steps_of_their_own():
    (x,) = make(SHAPE)
    rows = reduce_sum(x, 0)
    total = reduce_sum(rows.output, 0)
    first, second = schedule(program([x], [rows, total], total.outputs), {x: 1}).loop
    assert first == SumRows(rows) and isinstance(second, Pass) and second.sums == (total,)
