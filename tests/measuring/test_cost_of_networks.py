"""Costs of networks: counts against closed forms, crossovers, what was measured."""

import pytest

from capax.errors import CapaxError
from capax.measuring import costs as module
from capax.measuring.costs import cost
from capax.theory import costs, roofline


def rows(found):
    return {row["cell"]: row for row in found.frame.to_dict("records")}


@pytest.fixture(scope="module")
def compared():
    return cost(
        ["rnn", "gru", "lstm", "transformer"], units=64, inputs=5, outputs=3, length=100, device="h100", depth=2
    )


def test_counts_are_the_closed_forms_exactly(compared):
    found, n, length = rows(compared), 64, 100
    for name, step in {"rnn": costs.rnn, "gru": costs.gru, "lstm": costs.lstm}.items():
        expected = step(5, n) + step(n, n) + costs.linear(n, 3)
        assert found[name]["flops_per_step"] == expected.total
        assert found[name]["flops_per_sequence"] == expected.total * length
        assert found[name]["flops_of_products"] == expected.products * length
        assert found[name]["flops_of_functions"] == expected.functions * length
    ends = (costs.linear(5, n) + costs.linear(n, 3)).times(length)
    layers = costs.transformer(n, length).times(2) + costs.final_norm(n, length) + ends
    assert found["transformer"]["flops_per_sequence"] == layers.total
    assert found["transformer"]["flops_of_products"] == 2 * (24 * n * n * length + 4 * n * length**2) + ends.products


def test_states_are_the_cells_own_and_a_transformer_keeps_keys_and_values(compared):
    found = rows(compared)
    assert [found[name]["state_bytes"] for name in ("rnn", "gru", "lstm", "transformer")] == [
        4 * 2 * 64, 4 * 2 * 64, 4 * 2 * 2 * 64, 4 * 2 * 2 * 64 * 100,
    ]  # fmt: skip
    assert [found[name]["sequential_steps"] for name in ("lstm", "transformer")] == [100, 1]


def test_what_is_not_here_is_not_measured(compared):
    assert compared.frame["seconds_measured"].isna().all() and (compared.frame["seconds_estimated"] > 0).all()
    assert any("Nothing was measured" in note for note in compared.notes)


def test_a_crossover_is_where_the_order_of_two_networks_turns():
    sizes = {"inputs": 1, "outputs": 1, "depth": 1}
    wide, narrow = (
        module._profile(cell, units, None, 1, sizes) for cell, units in (("lstm", 128), ("transformer", 16))
    )
    found = module._crossovers([wide, narrow], 512, roofline.device("a100"), "fp32")
    by = {row["quantity"]: row for row in found}
    for name, count in (
        ("flops", lambda one, at: one.operations(at).total),
        ("bytes", lambda one, at: one.activation_bytes(at)),
    ):
        first = by[name]["length"]
        assert (by[name]["cheaper_from_there"], by[name]["than"]) == ("lstm", "transformer")
        assert count(narrow, first - first % 16 - 16) < count(wide, first - first % 16 - 16)
        assert count(narrow, first + 16 - first % 16) > count(wide, first + 16 - first % 16)


def test_at_equal_widths_recurrence_takes_fewer_operations_and_keeps_less_at_every_length():
    # 16 n^2 of the LSTM against 24 n^2 + 4 n T
    found = cost(["lstm", "transformer"], units=64, length=64, device="a100")
    assert not [row for row in found.crossovers if row["quantity"] in ("flops", "bytes")]
    assert any("from 8 to 4,096 steps" in note for note in found.notes)


def test_half_precision_moves_half_the_bytes_and_runs_products_alone_faster():
    options = {"units": 512, "length": 64, "device": "a100"}
    full, half = (rows(cost(["lstm"], precision=p, **options))["lstm"]["seconds_estimated"] for p in ("fp32", "fp16"))
    assert half < full


def test_equal_networks_never_cross():
    found = cost(["ugrnn", "tests.cells.examples:Declared"], units=8, length=16, device="a100")
    assert found.crossovers == [] and found.frame["flops_per_step"].nunique() == 1


def test_a_users_cell_is_counted_and_timed_without_help():
    found = rows(cost(["tests.cells.examples:Declared"], units=16, length=32))["tests.cells.examples:Declared"]
    assert found["flops_per_step"] > 2 * 2 * 16 * 17 and found["seconds_measured"] > 0
    assert found["training_peak_bytes"] > 0


@pytest.mark.slow
def test_checkpoints_save_memory_at_two_thousand_steps():
    found = cost(["gru"], units=16, batch=4, length=2000, checkpoint_every=[45])
    again = found.checkpointing.set_index("checkpoint_every")
    assert again.loc[45.0, "memory_saved"] >= 5
    assert again.loc[45.0, "slowdown"] > 0 and len(again) == 3


@pytest.mark.parametrize(("options", "said"), [
    ({"units": 0}, "units must be at least 1, not 0"),
    ({"units": 4, "length": 0}, "length must be at least 1, not 0"),
    ({"units": 4, "budget": 9}, "not both of them"),
    ({}, "one of them is needed"),
    ({"units": 4, "device": "tpu"}, "unknown device 'tpu'; choose of here, a100"),
    ({"units": 4, "precision": "fp16"}, "measured at fp32"),
    ({"units": 4, "checkpoint_every": [0]}, "checkpoint-every must be at least 1, not 0"),
    ({"units": 4, "batch": -1}, "batch must be at least 1, not -1"),
])  # fmt: skip
def test_bad_input_is_said_in_one_line(options, said):
    with pytest.raises(CapaxError, match=said):
        cost(["gru"], **options)
