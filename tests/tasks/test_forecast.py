"""The task of forecasting: what a network sees of a window, that nothing of the future is among it,
and that a network learns what can be learned.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from capax import networks, tasks
from capax.errors import CapaxError
from capax.jobs import forecast_reference as reference
from capax.testing.tasks import CHECKS, TaskUnderTest
from capax.training.population import Population
from capax.training.resident import Resident
from capax.training.trial import NetworkShape, Trial

RNG = np.random.default_rng(0)


def table(hours=600, seed=0):
    random, t = np.random.default_rng(seed), np.arange(hours)
    frame = pd.DataFrame({"time": pd.date_range("2024-01-01", periods=hours, freq="h")})
    frame["load"] = 10 + 5 * np.sin(2 * np.pi * t / 24) + np.cumsum(random.normal(size=hours)) * 0.2
    frame["wind"], frame["price"] = random.normal(size=hours), 3 + random.normal(size=hours)
    frame.loc[[40, 41, 200], "load"] = np.nan
    frame.loc[[7, 8], "price"] = np.nan
    return frame


@pytest.fixture
def task(tmp_path):
    def make(frame=None, **options):
        path = tmp_path / f"data{len(list(tmp_path.iterdir()))}.csv"
        (table() if frame is None else frame).to_csv(path, index=False)
        given = {
            "target": "load",
            "covariates": "wind",
            "future": "price",
            "horizon": 3,
            "context": 30,
            "batch_size": 8,
            "reference": "anchor",
        }
        return tasks.get("forecast", path=str(path), **{**given, **options})

    return make


def inputs_by_hand(frame, preparation, origin, begin=0):
    """The features of one window of a single series, by loops over its steps."""
    scale = preparation.scales[""]
    (load_mean, wind_mean, price_mean), (load_unit, wind_unit, price_unit) = scale.mean, scale.deviation
    (change,) = scale.change
    columns = {
        "load": (frame["load"].to_numpy(), load_mean, change),
        "wind": (frame["wind"].to_numpy(), wind_mean, wind_unit),
        "price": (frame["price"].to_numpy(), price_mean, price_unit),
    }

    def last(name, step):
        values, mean, unit = columns[name]
        while step >= begin and np.isnan(values[step]):
            step -= 1
        return (values[step] - mean) / unit if step >= begin else 0.0

    anchor, rows = last("load", origin - 1), []
    level = np.tanh(anchor * change / load_unit / 2)
    for ahead in range(-preparation.context, preparation.horizon):
        step, row = origin + ahead, []
        real, before = step >= begin, step >= begin and ahead < 0
        row.append(last("load", step) - anchor if before else 0.0)
        season = step - 24 * (1 if ahead < 0 else ahead // 24 + 1)
        row.append(last("load", season) - anchor if season >= begin else 0.0)
        far = (ahead + 1) / preparation.horizon if ahead >= 0 else 0.0
        row += [level, level * far]
        row += [last("wind", step) if before else 0.0, last("price", step) if real else 0.0]
        row += [float(np.isnan(columns["load"][0][step])) if before else 0.0]
        row += [float(np.isnan(columns["price"][0][step])) if real else 0.0]
        row += [float(before), float(ahead >= 0), far]
        hour, day = frame["time"][max(step, 0)].hour / 24, frame["time"][max(step, 0)].day_of_week / 7
        for phase in (hour, day):
            row += [np.sin(2 * np.pi * phase), np.cos(2 * np.pi * phase)] if real else [0.0, 0.0]
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("origin", [2, 9, 26, 42, 203, 400, 590])
def test_a_window_is_what_is_computed_by_hand(task, origin):
    made = task()
    preparation = made.preparation
    assert (
        preparation.season == 24 and preparation.gaps == ("load", "price") and len(preparation.features) == made.inputs
    )
    arrays = made.data(0)["arrays"]
    one = jnp.asarray([origin], jnp.int32)
    batch = made.windows(arrays, jnp.zeros((1,), jnp.int32), one, jnp.ones((1,)))
    due = inputs_by_hand(table(), preparation, origin)
    found = np.asarray(batch.inputs.values[:, :, 0])
    np.testing.assert_allclose(found, np.where(np.abs(due) > 10, np.sign(due) * 10, due), atol=2e-5)
    scale, load = preparation.scales[""], table()["load"].to_numpy()
    before = load[:origin][~np.isnan(load[:origin])][-1]
    came = (load[origin : origin + 3] - before) / scale.change[0]
    np.testing.assert_array_equal(batch.targets[1, :, 0], ~np.isnan(came))
    np.testing.assert_allclose(batch.targets[0, :, 0], np.nan_to_num(came), atol=2e-5)


def test_nothing_of_the_horizon_is_seen_but_what_is_known_ahead(task):
    made = task()
    arrays = made.data(0)["arrays"]
    series, origins = jnp.zeros((1,), jnp.int32), jnp.asarray([400], jnp.int32)
    before = made.windows(arrays, series, origins, jnp.ones((1,))).inputs.values
    changed = {
        **arrays,
        **{name: arrays[name].at[400:].set(99.0) for name in ("targets", "last")},
        "covariates": arrays["covariates"].at[400:, 0].set(99.0),
        "missing": arrays["missing"].at[400:, 0].set(1.0),
    }
    np.testing.assert_array_equal(before, made.windows(changed, series, origins, jnp.ones((1,))).inputs.values)
    ahead = {**arrays, "covariates": arrays["covariates"].at[401, 1].set(9.0)}
    other = made.windows(ahead, series, origins, jnp.ones((1,))).inputs.values
    assert (np.asarray(before != other).nonzero()[0] == made.first + 1).all() and (before != other).any()


def test_the_evaluation_part_changes_neither_what_is_learned_nor_training_nor_validation(task):
    one, frame = task(), table()
    frame.loc[540:, "load"] = RNG.permutation(frame["load"][540:]) * 7 + 100
    frame.loc[540:, ["wind", "price"]] = 1e3
    frame.loc[545:560, ["load", "wind"]] = np.nan
    frame.loc[599, "load"] = 3.0
    other = task(frame)
    assert one.prepared.parts.evaluation.tolist() == [540] and one.preparation == other.preparation
    assert one.facts == other.facts
    arrays, changed = one.data(0), other.data(0)
    for name, array in arrays["arrays"].items():
        until = None if name in ("begins", "ratio") else 540
        np.testing.assert_array_equal(array[:until], changed["arrays"][name][:until])
    batches = [
        made.batch_at(data, split, jax.random.key(3), jnp.asarray(0), {})
        for made, data in ((one, arrays), (other, changed))
        for split in ("train", "validation", "evaluation")
    ]
    for before, after in zip(batches[:2], batches[3:5], strict=True):
        for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(batches[2].targets, batches[5].targets)


def test_training_windows_are_drawn_from_all_training_parts_alone(task):
    frame = pd.concat([table(300, 1).assign(s="A"), table(900, 2).assign(s="B")])
    made = task(frame, series="s")
    data = made.data(0)
    series, origins = made._drawn(data, jax.random.key(0), 20_000)
    parts = made.prepared.parts
    for number in (0, 1):
        chosen = np.asarray(origins)[np.asarray(series) == number]
        assert set(chosen) == set(range(parts.begins[number] + 2, parts.validation[number] - 2))


def test_several_targets_weigh_the_same_and_what_is_missing_nothing(task):
    made = task(target="load,wind", covariates=None, quantiles=".1,.9")
    batch = made.sample(jax.random.key(0), 6)
    assert batch.targets.shape == (4, 3, 6) and made.outputs == 4
    outputs = jnp.asarray(RNG.normal(size=(4, 3, 6)), jnp.float32)
    sums, total, weight = made.measure(outputs, batch), 0.0, 0.0
    for target, step, sample in np.ndindex(2, 3, 6):
        known = float(batch.targets[2 + target, step, sample] * batch.weights[step, sample])
        above = (
            float(batch.targets[target, step, sample]) - np.asarray(outputs)[2 * target : 2 * target + 2, step, sample]
        )
        losses = [max(level * a, (level - 1) * a) for level, a in zip((0.1, 0.9), above, strict=True)]
        total, weight = total + known * np.mean(losses), weight + known
    assert sums["loss"] == pytest.approx(total, rel=1e-5) and sums["weight"] == weight
    assert made.scores({name: float(value) for name, value in sums.items()})["score"] == pytest.approx(
        total / weight, rel=1e-5
    )


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("of", ["anchor", "autoregression"])
def test_it_passes_the_conformance_of_tasks(task, of):
    under_test = TaskUnderTest(task(batch_size=32, reference=of))
    findings = [check(under_test) for check in CHECKS]
    assert [f"{found.name}: {found.message}" for found in findings if not found.passed] == []


def test_options_that_cannot_be_are_refused_in_one_line(task):
    for options, line in (
        ({"quantiles": ".1,x"}, "quantiles are numbers between 0 and 1"),
        ({"quantiles": "0,1"}, "quantiles are numbers between 0 and 1"),
        ({"horizon": 0}, "option horizon must be a whole number"),
        ({"share": 0.9}, "option share"),
        ({"data_seed": 1}, "data_seed changes nothing"),
        ({"reference": "oracle"}, "reference is 'anchor' or 'autoregression', not 'oracle'"),
    ):
        with pytest.raises(CapaxError, match=line):
            task(**options)
    with pytest.raises(CapaxError, match="600 steps from its first known target to its last; 300 steps ahead need 902"):
        task(horizon=300).sizes  # noqa: B018


def test_options_are_hashable_and_the_file_is_held_to(task):
    made = task()
    assert hash(made) == hash(dataclasses.replace(made)) and made.contents()[0].sha256 == made.sha256
    with pytest.raises(CapaxError, match="is not the file that it was"):
        dataclasses.replace(made, sha256="0" * 64)


@pytest.mark.slow
def test_a_network_learns_a_season_that_persistence_does_not_know(task):
    t = np.arange(900)
    frame = table(900).assign(load=5 * np.sin(2 * np.pi * t / 24) + RNG.normal(size=900) * 0.1)
    made = task(frame, covariates=None, future=None, horizon=12, context=48)
    size = networks.size("gru", budget=800, inputs=made.inputs, outputs=made.outputs)
    shape = NetworkShape("gru", 1, size.units, size.parameters)
    trial = Trial("one", made, shape, {"nonlinearity": "tanh", **made.starts(), "learning_rate": 0.01}, 300, 0)
    resident = Resident("mapped")
    population = Population(resident.program(trial), resident.data(trial), 1)
    population.add(trial)
    ((_, result),) = population.advance(10**6)
    assert result.feasible and result.evaluation["score"] < 0.15 * made.facts.chance


def test_steps_that_are_enough_follow_from_windows_that_do_not_overlap(task):
    made = task(pd.DataFrame({"load": RNG.normal(size=10_000)}), covariates=None, future=None, horizon=10, batch_size=4)
    assert made.most_steps() == round(25 * (8000 - 2 - 9) / 10 / 4)
    assert task(batch_size=32).most_steps() == 200


# On top of a linear autoregression


def test_outputs_of_0_are_the_autoregression_with_the_quantiles_of_its_errors(task):
    made = task(reference="autoregression")
    preparation, prepared = made.preparation, made.prepared
    arrays = preparation.arrays(prepared.panel)
    origins = np.array([40, 250, 560])
    sizes = preparation.horizon, preparation.reference.lags, preparation.season, 1
    phases = [preparation.calendar.index(name) for name in preparation.reference.calendar]
    terms = reference.terms(np, arrays, np.zeros(3, int), origins, sizes, phases)
    weights, errors, _ = preparation.reference.arrays
    expected = (terms[:, :, 0] * weights[0]).sum(axis=-1)
    anchor = arrays["last"][origins - 1]
    came = arrays["targets"][origins[:, None] + np.arange(3), 0] - anchor
    above = came[..., None] - expected[..., None] - errors[0]
    levels = np.array(made.levels)
    due = np.nansum(np.maximum(levels * above, (levels - 1) * above).mean(axis=-1))
    on_device = jax.tree.map(jnp.asarray, arrays)
    batch = made.windows(on_device, jnp.zeros(3, jnp.int32), jnp.asarray(origins), jnp.ones(3))
    assert float(made.measure(jnp.zeros((made.outputs, 3, 3)), batch)["loss"]) == pytest.approx(due, rel=1e-4)
    place = preparation.features.index("load, by the autoregression")
    np.testing.assert_allclose(batch.inputs.values[made.first :, place], expected.T, atol=1e-4)
    assert not batch.inputs.values[: made.first, place].any()


def test_the_autoregression_sees_nothing_of_the_horizon_but_what_is_known_ahead(task):
    made = task(reference="autoregression")
    arrays = made.data(0)["arrays"]
    series, origins = jnp.zeros((1,), jnp.int32), jnp.asarray([400], jnp.int32)
    before = made.windows(arrays, series, origins, jnp.ones((1,))).inputs.values
    changed = {
        **arrays,
        **{name: arrays[name].at[400:].set(99.0) for name in ("targets", "last")},
        "covariates": arrays["covariates"].at[400:, 0].set(99.0),
    }
    np.testing.assert_array_equal(before, made.windows(changed, series, origins, jnp.ones((1,))).inputs.values)
    ahead = {**arrays, "covariates": arrays["covariates"].at[401, 1].set(9.0)}
    other = made.windows(ahead, series, origins, jnp.ones((1,))).inputs.values
    assert set(np.asarray(before != other).nonzero()[0]) == {made.first + 1}


def test_training_windows_have_an_autoregression_that_was_fitted_without_them(task):
    made = task(reference="autoregression")
    data = made.data(0)
    batch = made.batch_at(data, "train", jax.random.key(1), jnp.asarray(0), {})
    series, origins = made._drawn(data, jax.random.key(1), made.batch_size)
    blocks = np.asarray(origins) * 20 // int(made.prepared.parts.validation[0]) % 5
    fitted, ones = made.prepared.fitted.of_blocks[blocks], jnp.ones((made.batch_size,))
    due = made.windows(data["arrays"], series, origins, ones, jnp.asarray(fitted))
    np.testing.assert_allclose(batch.targets, due.targets, atol=1e-5)
    held_out = made.windows(data["arrays"], series, origins, ones)
    assert np.abs(held_out.targets - batch.targets).max() > 1e-3


def test_the_evaluation_part_does_not_change_the_autoregression(task):
    one, frame = task(reference="autoregression"), table()
    frame.loc[480:, "load"] = RNG.permutation(frame["load"][480:]) * 7 + 100
    other = task(frame, reference="autoregression")
    assert one.prepared.parts.validation.tolist() == [480] and one.preparation.reference is not None
    assert one.preparation == other.preparation
    np.testing.assert_array_equal(one.prepared.fitted.of_blocks, other.prepared.fitted.of_blocks)


def test_a_training_part_that_is_too_short_for_an_autoregression_does_without(task):
    assert task(table().iloc[:70], reference="autoregression", season=1).preparation.reference is None
