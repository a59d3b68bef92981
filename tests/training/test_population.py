"""The same trial gives the same result wherever, with whomever, and however interrupted it
trains."""

import dataclasses

import numpy as np
import pytest

from capax import networks, tasks
from capax.tasks import shuffling
from capax.training.population import Population
from capax.training.program import curve_interval
from capax.training.resident import Resident
from capax.training.trial import NetworkShape, Trial

STEPS = 37


def make_trials(task, cell="gru", budget=150, number=5, **hyperparameters):
    size = networks.size(cell, budget=budget, inputs=task.inputs, outputs=task.outputs)
    shape = NetworkShape(cell, 1, size.units, size.parameters)
    optimisers = ("adam", "sgd", "momentum", "rmsprop")
    return [
        Trial(
            name=f"trial {seed}",
            task=task,
            shape=shape,
            hyperparameters={
                "nonlinearity": "tanh",
                "optimiser": optimisers[seed % 4],
                "learning_rate": 0.003 * (seed + 1),
                "samples_per_parameter": 2.0 + seed,
                **hyperparameters,
            },
            steps=STEPS + 3 * seed,
            seed=seed,
        )
        for seed in range(number)
    ]


RESIDENT = {batching: Resident(batching) for batching in ("mapped", "vectorised")}


def populate(trial, slots=1, batching="mapped"):
    return Population(RESIDENT[batching].program(trial), RESIDENT[batching].data(trial), slots)


def train(trials, slots=1, chunk=10**6, batching="mapped"):
    population = populate(trials[0], slots, batching)
    waiting, results = list(trials), {}
    while waiting or population.trials:
        while waiting and population.free:
            population.add(waiting.pop(0))
        results.update({trial.name: result for trial, result in population.advance(chunk)})
    return results


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        for field in dataclasses.fields(one[name]):
            if field.name != "seconds":
                np.testing.assert_equal(getattr(one[name], field.name), getattr(other[name], field.name), field.name)


WAYS = {"": {}, "minibatches": {"batch_size": 64}, "soap": {"batch_size": 64, "preconditioner": "soap"}}


@pytest.fixture(scope="module", params=["capacity", "capacity, minibatches", "capacity, soap", "text"])
def trials(request):
    name, _, more = request.param.partition(", ")
    return make_trials(tasks.get(name), **WAYS[more])


@pytest.fixture(scope="module")
def alone(trials):
    return {name: result for trial in trials for name, result in train([trial]).items()}


@pytest.mark.grid(keep=2)
def test_a_population_gives_what_each_trial_gives_alone_to_the_bit(trials, alone):
    assert_same(train(trials, slots=3), alone)


def test_another_slot_and_other_companions_change_nothing(trials, alone):
    assert_same(train(trials[::-1], slots=3), alone)


def test_another_chunk_size_changes_nothing(trials, alone):
    assert_same(train(trials, slots=3, chunk=7), alone)


def test_pauses_change_nothing(trials, alone, tmp_path):
    """Each trial leaves at steps of its own, with its companions in between, and goes on from its
    checkpoint."""
    waiting = [
        dataclasses.replace(trial, checkpoint=tmp_path / trial.name, pause=3 + 2 * number)
        for number, trial in enumerate(trials)
    ]
    paused, results = [], {}
    population = populate(trials[0], 3)
    while waiting or population.trials:
        while waiting and population.free:
            population.add(waiting.pop(0))
        for trial, result in population.advance(10):
            if not result.paused:
                results[trial.name] = result
                continue
            assert result.steps == trial.pause and np.isfinite(result.validation["score"])
            assert (
                np.isfinite(result.curve).sum() == result.steps
            )  # a point a step: these trials have fewer than a hundred
            paused.append((trial.name, result.steps))
            waiting.append(dataclasses.replace(trial, pause=20 if result.steps < 20 else None))
    assert len(paused) == 2 * len(trials)
    assert_same(results, alone)


def test_a_trial_at_its_pause_is_handed_back_at_once(trials, tmp_path):
    trial = dataclasses.replace(trials[0], checkpoint=tmp_path / "kept", pause=5)
    found = []
    for _ in range(2):  # the second time from the checkpoint, as after a kill
        population = populate(trial)
        population.add(trial)
        found += population.advance(1000)
        assert not population.trials
    assert [(result.paused, result.steps) for _, result in found] == [(True, 5), (True, 5)]
    assert found[0][1].validation == found[1][1].validation


def test_an_interruption_changes_nothing(trials, alone, tmp_path):
    kept = [dataclasses.replace(trial, checkpoint=tmp_path / trial.name) for trial in trials]
    kept = kept[:3]
    population = populate(trials[0], len(kept))
    for trial in kept:
        population.add(trial)
    population.advance(11)
    population.checkpoint()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(trial.name for trial in kept)

    resumed = populate(trials[0], len(kept))
    for trial in kept:
        resumed.add(trial)
    assert dict.fromkeys((trial.name for trial in kept), 11) == {t.name: steps for t, steps in resumed.progress()}
    results = {}
    while resumed.trials:
        results.update({trial.name: result for trial, result in resumed.advance(13)})
    assert_same(results, {trial.name: alone[trial.name] for trial in kept})


def test_a_checkpoint_of_other_hyperparameters_is_not_taken(trials, tmp_path):
    first = dataclasses.replace(trials[0], checkpoint=tmp_path / "kept")
    population = populate(first)
    population.add(first)
    population.advance(5)
    population.checkpoint()
    other = dataclasses.replace(first, hyperparameters={**first.hyperparameters, "learning_rate": 0.5})
    fresh = populate(first)
    fresh.add(other)
    assert fresh.progress()[0][1] == 0


def test_a_damaged_checkpoint_starts_the_trial_anew(trials, alone, tmp_path):
    (tmp_path / "damaged").write_bytes(b"\x10\0\0\0\0\0\0\0not json at all")
    trial = dataclasses.replace(trials[0], checkpoint=tmp_path / "damaged")
    assert_same(train([trial]), {trial.name: alone[trial.name]})


@pytest.mark.grid(keep=2)
def test_vectorised_agrees_with_mapped_to_rounding(trials, alone):
    # Batched products sum in another order: the same arithmetic to float32 rounding, which 50
    # training steps amplify.
    together = train(trials[:3], slots=3, batching="vectorised")
    for name, result in together.items():
        np.testing.assert_allclose(result.curve, alone[name].curve, rtol=2e-3)


def test_another_seed_is_another_network(trials):
    other = dataclasses.replace(trials[0], seed=1234)
    assert not np.array_equal(train([other])[other.name].parameters, train([trials[0]])[trials[0].name].parameters)


def test_another_data_seed_is_another_order_of_sampled_data_only(trials):
    other = dataclasses.replace(trials[0], data_seed=3)
    same = np.array_equal(train([other])[other.name].parameters, train([trials[0]])[trials[0].name].parameters)
    goes_through_all = trials[0].task.reporting.memorised and not trials[0].hyperparameters.get("batch_size")
    assert same == goes_through_all


def test_divergence_is_a_result_and_does_not_touch_companions(trials, alone):
    wild = dataclasses.replace(
        trials[1],
        name="wild",
        hyperparameters={**trials[1].hyperparameters, "learning_rate": 1e30, "gradient_clip": 1e30},
    )
    results = train([trials[0], wild, trials[2]], slots=3)
    assert not results["wild"].feasible
    assert results["wild"].steps < wild.steps
    assert results["wild"].validation == {}
    companions = {trial.name: results[trial.name] for trial in (trials[0], trials[2])}
    assert_same(companions, {name: alone[name] for name in companions})


def test_the_curve_is_the_mean_loss_of_each_interval():
    (trial,) = make_trials(tasks.get("capacity"), number=1)
    long, short = (dataclasses.replace(trial, steps=steps) for steps in (250, 3))
    assert curve_interval(250) == 3
    result = train([long])[trial.name]
    assert np.isfinite(result.curve[:84]).all()  # 83 whole intervals of three steps, and one step
    assert np.isnan(result.curve[84:]).all()
    assert np.log(2) == pytest.approx(result.curve[0], rel=0.3)
    assert result.curve[83] < result.curve[0]
    assert np.isfinite(train([short])[trial.name].curve).sum() == 3


@pytest.mark.parametrize("batch_size", [0, 32])
def test_training_does_what_a_plain_loop_does(batch_size):
    """The trainer against an independent loop: jax.grad over the whole data set at once, or over
    minibatches, and optax's Adam."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import optax

    from capax.networks.parts import trainable

    given = {"learning_rate": 0.003, "learning_rate_decay": 0.1, "gradient_clip": 0.05, "l2_decay": 1e-3}
    given["batch_size"] = batch_size
    (trial,) = make_trials(tasks.get("capacity"), number=1, samples_per_parameter=4.3, **given)
    result = train([trial])[trial.name]
    program = RESIDENT["mapped"].program(trial)
    state, settings = program.start(trial)
    network = program.template.network(state.parameters, settings.constants)
    trained, fixed = eqx.partition(network, trainable(network))
    samples = trial.task.samples(trial.hyperparameters, trial.shape.parameters)
    columns, labels = RESIDENT["mapped"].data(trial)
    key, prime = jax.random.key(trial.data_seed), jnp.uint32(shuffling.prime(samples))

    def loss(trained, chosen):
        x = jnp.broadcast_to(columns[None, :, chosen], (trial.task.time_steps, columns.shape[0], len(chosen)))
        logits = eqx.combine(trained, fixed).run(networks.Dense(x))[0, -1]
        inside = chosen < samples
        losses = optax.sigmoid_binary_cross_entropy(logits, labels[chosen])
        return jnp.sum(jnp.where(inside, losses, 0.0)) / jnp.sum(inside)

    schedule = optax.exponential_decay(0.003, trial.steps, 0.1)
    chain = optax.chain(
        optax.add_decayed_weights(1e-3), optax.clip_by_global_norm(0.05), optax.adam(schedule, b1=0.9, b2=0.999)
    )

    @jax.jit
    def step(trained, adam, chosen):
        updates, adam = chain.update(jax.grad(loss)(trained, chosen), adam, trained)
        return optax.apply_updates(trained, updates), adam

    adam = chain.init(trained)
    for number in range(trial.steps):
        part = shuffling.places(key, jnp.asarray(number), batch_size, prime) if batch_size else jnp.arange(samples)
        trained, adam = step(trained, adam, part)
    # Sums in another order, amplified by Adam's normalisation over 37 steps of .003.
    np.testing.assert_allclose(result.parameters, jax.flatten_util.ravel_pytree(trained)[0], atol=2e-4)


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("text", {"window": 12, "warm_up": 2}),
        ("parentheses", {"time_steps": 8, "held_out": 16}),
        ("memory", {"time_steps": 4, "numbers": 4, "held_out": 16}),
    ],
)
def test_a_transformer_trains_at_a_matched_budget(name, options):
    task = tasks.get(name, batch_size=4, **options)
    trials = make_trials(task, "transformer", budget=9000, number=1, nonlinearity=None, learning_rate=0.003)
    result = train(trials)["trial 0"]
    assert trials[0].shape.units % 8 == 0 and trials[0].shape.parameters <= 9000
    assert result.feasible and np.isfinite(list(result.validation.values())).all()
    assert result.kernel == "compiled" and result.curve[STEPS - 1] < result.curve[0]


def test_checkpoints_over_time_change_results_by_rounding_alone():
    task = tasks.get("text", window=40, warm_up=2, batch_size=4)
    (plain,) = make_trials(task, number=1)
    results = [
        train([dataclasses.replace(plain, shape=dataclasses.replace(plain.shape, checkpoint_every=every))])["trial 0"]
        for every in (None, 7, 100)
    ]
    assert [result.kernel for result in results[1:]] == ["compiled", "compiled"]
    for result in results[1:]:
        np.testing.assert_allclose(result.curve, results[0].curve, rtol=1e-3)
