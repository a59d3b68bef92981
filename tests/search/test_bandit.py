"""The bandit as a user of Optuna meets it: proposals, determinism, odd spaces, and whether it beats
random search.
"""

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from scipy.stats import mannwhitneyu

from capax.search.bandit import GaussianProcessBandit, Space, warp

optuna.logging.set_verbosity(optuna.logging.ERROR)

MIXED: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "scale": FloatDistribution(-2.0, 2.0),
    "grid": FloatDistribution(0.0, 1.0, step=0.25),
    "steps": IntDistribution(50, 5000, log=True),
    "layers": IntDistribution(1, 7, step=2),
    "optimiser": CategoricalDistribution(["sgd", "momentum", "adam"]),
    "inputs": CategoricalDistribution(["once", "always"]),
    "fixed": CategoricalDistribution([None]),
}


def _loss(params: dict[str, Any]) -> float:
    """Infinite in the upper third of the learning rates; least with Adam just below that."""
    rate = math.log10(params["rate"])
    if rate > -2.0:
        return math.inf
    loss = (rate + 2.3) ** 2 + params["scale"] ** 2 + (params["grid"] - 0.5) ** 2 + 0.05 * abs(params["layers"] - 5)
    return loss + {"sgd": 1.0, "momentum": 0.4, "adam": 0.0}[params["optimiser"]] - 0.3 * math.log10(params["steps"])


BOWL: dict[str, BaseDistribution] = {name: FloatDistribution(-1.0, 1.0) for name in "pqrs"}


def _bowl(params: dict[str, Any]) -> float:
    return sum((params[name] - 0.3) ** 2 for name in BOWL)


def _tell(study: optuna.Study, trial: optuna.Trial, value: float) -> None:
    if math.isfinite(value):
        study.tell(trial, value)
    else:
        study.tell(trial, state=TrialState.FAIL)


def _advance(
    study: optuna.Study, batches: int, size: int = 8, space: dict[str, BaseDistribution] = MIXED, loss=_loss
) -> list[dict[str, Any]]:
    asked = []
    for _ in range(batches):
        batch = [study.ask(space) for _ in range(size)]
        for trial in batch:
            _tell(study, trial, loss(trial.params))
        asked += [trial.params for trial in batch]
    return asked


def _study(seed: int = 0, **options: Any) -> optuna.Study:
    return optuna.create_study(sampler=GaussianProcessBandit(seed=seed), **options)


def test_space_maps_points_to_parameters_and_back():
    space = Space({name: dist for name, dist in MIXED.items() if not dist.single()})
    points = space.from_cube(np.random.default_rng(0).random((200, len(space.categories))))
    np.testing.assert_allclose([space.point(space.params(x)) for x in points], points, atol=1e-12)
    np.testing.assert_allclose(space.snap(points), points, atol=1e-12)


def test_space_gives_every_value_of_a_grid_the_same_share():
    space = Space({"layers": MIXED["layers"], "grid": MIXED["grid"]})
    cube = np.repeat((np.arange(1000)[:, None] + 0.5) / 1000, 2, axis=1)
    params = [space.params(x) for x in space.from_cube(cube)]
    assert [sum(p["layers"] == value for p in params) for value in (1, 3, 5, 7)] == [250] * 4
    assert [sum(p["grid"] == value for p in params) for value in (0.0, 0.25, 0.5, 0.75, 1.0)] == [200] * 5


def test_warp_keeps_the_order_and_does_not_let_outliers_bend_it():
    losses = np.random.default_rng(0).exponential(size=50)
    wild = np.where(losses > np.quantile(losses, 0.9), losses * 1e30, losses)
    assert np.all(np.diff(warp(losses)[np.argsort(losses)]) > 0)
    np.testing.assert_array_equal(warp(wild), warp(losses))
    np.testing.assert_array_equal(warp(np.full(5, 3.0)), np.zeros(5))
    assert np.all(np.isfinite(warp(np.array([1.0, 1.0, 1.0, 2.0]))))


def test_startup_covers_every_stratum_of_every_parameter():
    study = _study()
    trials = [study.ask(MIXED) for _ in range(16)]
    strata = np.floor([4 * (t.params["scale"] + 2.0) for t in trials])
    assert sorted(strata) == list(range(16))
    assert {t.params["optimiser"] for t in trials} == {"sgd", "momentum", "adam"}


def test_sixty_four_pending_proposals_are_distinct():
    study = _study()
    _advance(study, batches=3)
    space = Space({name: dist for name, dist in MIXED.items() if not dist.single()})
    points = np.array([space.point(study.ask(MIXED).params) for _ in range(64)])
    distances = np.abs(points[:, None] - points).max(axis=-1)[np.triu_indices(64, k=1)]
    assert distances.min() > 1e-6


def _diverging(params: dict[str, Any]) -> bool:
    return math.log10(params["rate"]) > -2.0


def test_infeasible_trials_steer_away():
    before, after = [], []
    for seed in range(4):
        study = _study(seed)
        before += [_diverging(params) for params in _advance(study, batches=2)]
        _advance(study, batches=2)
        after += [_diverging(study.ask(MIXED).params) for _ in range(16)]
    # A third of the space is infeasible, and the optimum lies just below it.
    assert np.mean(before) > 0.2
    assert np.mean(after) < 0.5 * np.mean(before)


def test_failed_infinite_and_valueless_pruned_trials_are_alike():
    proposals = []
    for state in (TrialState.FAIL, TrialState.COMPLETE, TrialState.PRUNED):
        study = _study()
        for trial in [study.ask(MIXED) for _ in range(24)]:
            value = _loss(trial.params)
            if state == TrialState.COMPLETE or math.isfinite(value):
                study.tell(trial, value)
            else:
                study.tell(trial, state=state)
        proposals.append(study.ask(MIXED).params)
    assert proposals[0] == proposals[1] == proposals[2]


def test_pruned_trials_with_a_value_count_as_observations():
    study = _study()
    for trial in [study.ask(MIXED) for _ in range(16)]:
        trial.report(_loss(trial.params) if math.isfinite(_loss(trial.params)) else 100.0, step=1)
        study.tell(trial, state=TrialState.PRUNED if trial.number % 2 else TrialState.FAIL)
    _advance(study, batches=1, size=2)
    study.ask(MIXED)
    assert isinstance(study.sampler, GaussianProcessBandit) and study.sampler._models
    feasible = [t for t in study.trials if t.value is not None]
    assert any(t.state == TrialState.PRUNED for t in feasible)
    assert len(study.sampler._models[1].process.alpha) == len(feasible)


def test_a_fresh_sampler_on_a_reloaded_journal_proposes_the_same(tmp_path: Path):
    def storage() -> JournalStorage:
        return JournalStorage(JournalFileBackend(str(tmp_path / "journal")))

    study = _study(seed=5, study_name="one", storage=storage())
    _advance(study, batches=3)
    pending = [study.ask(MIXED).params for _ in range(6)]
    reloaded = optuna.load_study(study_name="one", storage=storage(), sampler=GaussianProcessBandit(seed=5))
    assert [t.params for t in reloaded.get_trials(states=(TrialState.RUNNING,))] == pending
    # The same trial number asked twice, so in storages of their own.
    copy = optuna.create_study(study_name="two", sampler=GaussianProcessBandit(seed=5))
    copy.add_trials(reloaded.get_trials())
    assert copy.ask(MIXED).params == study.ask(MIXED).params
    another_seed = optuna.create_study(sampler=GaussianProcessBandit(seed=6))
    another_seed.add_trials(reloaded.get_trials(states=(TrialState.COMPLETE, TrialState.FAIL)))
    assert another_seed.ask(MIXED).params not in pending


def test_proposals_do_not_depend_on_the_order_in_which_trials_finish():
    studies = [_study(), _study()]
    for study, order in zip(studies, (1, -1), strict=True):
        batch = [study.ask(MIXED) for _ in range(24)]
        for trial in batch[::order]:
            _tell(study, trial, _loss(trial.params))
    assert studies[0].ask(MIXED).params == studies[1].ask(MIXED).params


def test_one_sampler_serves_several_studies():
    sampler = GaussianProcessBandit(seed=0)
    first, second = (optuna.create_study(sampler=sampler) for _ in range(2))
    _advance(first, batches=2)
    _advance(second, batches=2, space={"x": FloatDistribution(0.0, 1.0)}, loss=lambda params: params["x"])
    alone = _study()
    _advance(alone, batches=2)
    assert first.ask(MIXED).params == alone.ask(MIXED).params


def test_maximising_is_minimising_the_negative():
    down, up = _study(), _study(direction="maximize")
    for trial in (down.ask(MIXED) for _ in range(20)):
        _tell(down, trial, _loss(trial.params))
    for trial in (up.ask(MIXED) for _ in range(20)):
        _tell(up, trial, -_loss(trial.params))
    assert [down.ask(MIXED).params for _ in range(4)] == [up.ask(MIXED).params for _ in range(4)]


def test_conditional_parameters_are_sampled_on_their_own():
    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        if trial.suggest_categorical("optimiser", ["sgd", "momentum"]) == "momentum":
            return rate * trial.suggest_float("momentum", 0.0, 0.9)
        return rate

    study = _study()
    study.optimize(objective, n_trials=30)
    assert study.best_value < 1e-3
    assert "momentum" not in study.sampler.infer_relative_search_space(study, study.trials[0])


def test_threads_may_share_a_sampler():
    study = _study()
    study.optimize(lambda trial: trial.suggest_float("x", -1.0, 1.0) ** 2, n_trials=24, n_jobs=2)
    assert study.best_value < 1e-3


def test_a_space_of_single_values_is_sampled():
    study = _study()
    space: dict[str, BaseDistribution] = {"a": CategoricalDistribution(["x"]), "b": IntDistribution(3, 3)}
    _advance(study, batches=3, space=space, loss=lambda params: 1.0)
    assert study.ask(space).params == {"a": "x", "b": 3}


def test_a_categorical_space_is_searched_without_repetition_until_none_is_left():
    study = _study()
    space: dict[str, BaseDistribution] = {name: CategoricalDistribution(list("abc")) for name in "pqrs"}
    _advance(study, 2, 8, space, lambda params: sum(zlib.crc32(v.encode()) % 7 for v in params.values()))
    before = {tuple(sorted(t.params.items())) for t in study.trials}
    proposals = [tuple(sorted(study.ask(space).params.items())) for _ in range(81 - len(before))]
    assert before.isdisjoint(proposals) and len(set(proposals)) == len(proposals)
    assert set(study.ask(space).params) == set("pqrs")


def test_a_constant_loss_and_a_study_that_always_fails_do_not_crash():
    _advance(_study(), batches=3, loss=lambda params: 1.0)
    _advance(_study(), batches=3, loss=lambda params: math.inf)


def test_several_objectives_are_refused():
    study = _study(directions=["minimize", "minimize"])
    with pytest.raises(ValueError, match="one objective"):
        study.ask({"x": FloatDistribution(0.0, 1.0)})


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize(
    ("space", "loss", "batches", "size"),
    [(MIXED, _loss, 4, 8), (BOWL, _bowl, 20, 1)],
)
def test_it_beats_random_search_at_equal_trials(space, loss, batches: int, size: int):
    def best(sampler: optuna.samplers.BaseSampler) -> float:
        study = optuna.create_study(sampler=sampler)
        _advance(study, batches, size, space, loss)
        return study.best_value

    bandit = [best(GaussianProcessBandit(seed=seed)) for seed in range(6)]
    random = [best(optuna.samplers.RandomSampler(seed=seed)) for seed in range(6)]
    assert mannwhitneyu(bandit, random, alternative="less").pvalue < 0.01
