"""An Optuna sampler: a batched Gaussian-process bandit over numbers and categories that learns from
failed trials.

    study = optuna.create_study(sampler=GaussianProcessBandit(seed=0))

A point is a row of d numbers: floats and integers in [0, 1], categories as the index of the choice.
"""

import dataclasses
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy  # its parts are loaded when they are first used: they are slow to load
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import intersection_search_space
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from capax.search.gaussian_process import Feasibility, GaussianProcess, fit, log_expected_improvement

# A Latin hypercube has as many strata as a usual batch has trials.
_STRATA = 16
# Candidates of one batch, half of them from the whole space and half near its best points.
_POOL = 1024
_NEAR_BEST = 8
# Candidates near the best point, for every other proposal.
_REFINEMENTS = 1024
# From the best candidates, a search by mutants of each and by gradients, twice.
_STARTS = 6
_MUTANTS = 24
_ROUNDS = 2
_CLIMB_STEPS = 8
# A number with more values than this is climbed as if continuous, then rounded.
_SMOOTH_LEVELS = 32


class Space:
    """The map between Optuna's parameters and points, for distributions of more than one value.

    A number with steps is given a cell of [0, 1] for each value, which reaches half a step to both
    sides, so that the ends are as likely as the middle.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]):
        self.distributions = dict(distributions)
        self.categories = np.array([_choices(dist) for dist in self.distributions.values()], dtype=int)
        bounds = [_bounds(dist) for dist in self.distributions.values()]
        self.low, self.high = np.array(bounds).T if bounds else (np.empty(0), np.empty(0))
        self.smooth = np.array([_levels(dist) > _SMOOTH_LEVELS for dist in self.distributions.values()], dtype=bool)

    def point(self, params: Mapping[str, Any]) -> np.ndarray:
        """The point (d,) of a trial's parameters."""
        x = np.array([_forward(dist, params[name]) for name, dist in self.distributions.items()])
        return np.where(self.categories > 0, x, (x - self.low) / (self.high - self.low))

    def params(self, x: np.ndarray) -> dict[str, Any]:
        """The parameters of a point (d,)."""
        raw = np.where(self.categories > 0, x, self.low + x * (self.high - self.low))
        return {
            name: _backward(dist, float(u)) for (name, dist), u in zip(self.distributions.items(), raw, strict=True)
        }

    def from_cube(self, cube: np.ndarray) -> np.ndarray:
        """Points (m, d) from uniform numbers (m, d) in [0, 1)."""
        categorical = self.categories > 0
        return self.snap(np.where(categorical, np.floor(cube * self.categories), cube))

    def snap(self, points: np.ndarray) -> np.ndarray:
        """Points (m, d) moved to the nearest values that exist.

        The model then sees what will be run, not what was meant (Garrido-Merchan & Hernandez-Lobato
        2020).
        """
        points = points.copy()
        for i, dist in enumerate(self.distributions.values()):
            if _levels(dist) < math.inf and self.categories[i] == 0:
                span = self.high[i] - self.low[i]
                values = _round(dist, self.low[i] + points[:, i] * span)
                points[:, i] = ((np.log(values) if _is_log(dist) else values) - self.low[i]) / span
        return np.where(self.categories > 0, points, np.clip(points, 0.0, 1.0))


def _is_log(dist: BaseDistribution) -> bool:
    return isinstance(dist, FloatDistribution | IntDistribution) and dist.log


def _choices(dist: BaseDistribution) -> int:
    return len(dist.choices) if isinstance(dist, CategoricalDistribution) else 0


def _step(dist: FloatDistribution | IntDistribution) -> float:
    return float(dist.step or 0.0)


def _levels(dist: BaseDistribution) -> float:
    """How many values a distribution has; a category is never smooth, so it has 0."""
    if not isinstance(dist, FloatDistribution | IntDistribution):
        return 0.0
    return (dist.high - dist.low) / dist.step + 1 if dist.step else math.inf


def _bounds(dist: BaseDistribution) -> tuple[float, float]:
    """The interval, logarithmic if the distribution is, that [0, 1] stands for."""
    if not isinstance(dist, FloatDistribution | IntDistribution):
        return 0.0, 1.0
    low, high = dist.low - 0.5 * _step(dist), dist.high + 0.5 * _step(dist)
    return (math.log(low), math.log(high)) if dist.log else (low, high)


def _round(dist: BaseDistribution, raw: np.ndarray) -> np.ndarray:
    """Values of a stepped distribution nearest to raw (logarithmic) numbers of any shape."""
    assert isinstance(dist, FloatDistribution | IntDistribution)
    values = np.exp(raw) if dist.log else raw
    return np.clip(dist.low + np.round((values - dist.low) / _step(dist)) * _step(dist), dist.low, dist.high)


def _forward(dist: BaseDistribution, value: Any) -> float:
    internal = dist.to_internal_repr(value)
    return math.log(internal) if _is_log(dist) else float(internal)


def _backward(dist: BaseDistribution, raw: float) -> Any:
    if isinstance(dist, IntDistribution) or (isinstance(dist, FloatDistribution) and dist.step):
        return dist.to_external_repr(float(_round(dist, np.array([raw]))[0]))
    if isinstance(dist, FloatDistribution):
        return float(np.clip(math.exp(raw) if dist.log else raw, dist.low, dist.high))
    return dist.to_external_repr(raw)


def warp(values: np.ndarray) -> np.ndarray:
    """Targets (n,) of mean 0 and deviation 1 from finite losses (n,), lower better, that outliers
    do not bend.

    The worse half is known by its ranks only, as normal quantiles; the better half keeps its
    differences, in units of its own spread (Song et al. 2024). Measured: ranks throughout lose
    precision near the optimum (Branin, Hartmann-6); a power transform (Yeo & Johnson 2000) instead
    or afterwards is no better.
    """
    if np.ptp(values) == 0.0:
        return np.zeros(len(values))
    median = np.median(values)
    spread = np.sqrt(np.mean((values[values <= median] - median) ** 2))
    # No spread: at least half of the trials are equally best, and all differences lie in the worse
    # half.
    better = np.minimum(values - median, 0.0) / (spread or 1.0)
    y = np.where(values <= median, better, scipy.special.ndtri((scipy.stats.rankdata(values) - 0.5) / len(values)))
    return (y - y.mean()) / y.std()


@dataclasses.dataclass(frozen=True)
class Pool:
    """Candidates (m, d) of a batch and what the posterior says of them, updated by one row of V a
    pending point.
    """

    points: np.ndarray
    log_feasible: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    V: np.ndarray

    def extend(self, process: GaussianProcess) -> "Pool":
        """The pool after `process` gained its last pending point."""
        row = process.L[-1]
        covariance = process.kernel.covariance(process.X[-1:], self.points)[0]
        v = (covariance - row[:-1] @ self.V) / row[-1]
        return dataclasses.replace(self, variance=process.floor(self.variance - v * v), V=np.vstack([self.V, v]))


@dataclasses.dataclass(frozen=True)
class Model:
    """What a batch shares: one fit to the finished trials, extended by the pending points in the
    order of their trials.

    `best` is the least mean at any point run or running; `taken` names those points.
    """

    process: GaussianProcess
    feasibility: Feasibility | None
    pool: Pool
    incumbent: np.ndarray
    best: float
    taken: frozenset[bytes]
    pending: tuple[bytes, ...] = ()

    @classmethod
    def fit(cls, space: Space, X: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> "Model":
        """The model given points (n, d) and losses (n,), infinite where infeasible and finite at
        least twice.
        """
        feasible = np.isfinite(values)
        feasibility = None if feasible.all() else Feasibility.condition(X, feasible, space.categories)
        y = warp(values[feasible])
        process = GaussianProcess.condition(fit(X[feasible], y, space.categories), X[feasible], y)
        # The best mean, not the best observation: with noise, the latter is luck.
        mean = process.mean(process.X)
        tops = process.X[np.argsort(mean, kind="stable")[:_NEAR_BEST]]
        sobol = space.from_cube(scipy.stats.qmc.Sobol(len(space.categories), rng=rng).random(_POOL // 2))
        points = np.concatenate([sobol, perturb(space, tops, _POOL // 2 // len(tops), rng)])
        log_feasible = np.zeros(len(points)) if feasibility is None else feasibility.log_probability(points)
        pool = Pool(points, log_feasible, *process.posterior(points))
        return cls(process, feasibility, pool, tops[0], float(mean.min()), frozenset(_name(x) for x in X))

    def extend(self, x: np.ndarray) -> "Model":
        """The model after one more pending point (d,), which is believed to come out at its
        mean.
        """
        process = self.process.extend(x)
        return dataclasses.replace(
            self,
            process=process,
            pool=self.pool.extend(process),
            best=min(self.best, float(process.mean(x[None])[0])),
            taken=self.taken | {_name(x)},
            pending=(*self.pending, _name(x)),
        )

    def acquisition(self, points: np.ndarray) -> np.ndarray:
        """Logarithm of expected improvement times P(feasible) (m,) at points (m, d) (Gardner et al.
        2014).
        """
        mean, variance, _ = self.process.posterior(points)
        value, _, _ = log_expected_improvement(mean, variance, self.best)
        return value if self.feasibility is None else value + self.feasibility.log_probability(points)

    def acquisition_gradients(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`acquisition` (m,) and its gradient (m, d); along categories it means nothing."""
        mean, variance, mean_gradient, variance_gradient = self.process.posterior_gradients(points)
        value, by_mean, by_variance = log_expected_improvement(mean, variance, self.best)
        gradient = by_mean[:, None] * mean_gradient + by_variance[:, None] * variance_gradient
        if self.feasibility is None:
            return value, gradient
        log_feasible, feasible_gradient = self.feasibility.log_probability_gradients(points)
        return value + log_feasible, gradient + feasible_gradient

    def ranked_pool(self) -> np.ndarray:
        """The pool's points (m, d), largest acquisition first."""
        pool = self.pool
        value = log_expected_improvement(pool.mean, pool.variance, self.best)[0] + pool.log_feasible
        return pool.points[np.argsort(-value, kind="stable")]


def _name(x: np.ndarray) -> bytes:
    """A point's identity, deaf to the last digits, which a parameter's way to storage and back may
    change.
    """
    return (np.round(x, 9) + 0.0).tobytes()


def perturb(space: Space, centres: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` points near each centre (m, d), on many scales: a few coordinates moved, the rest
    kept.

    Few, since in many dimensions a step along all of them leaves the good region (Regis & Shoemaker
    2013).
    """
    points = np.repeat(centres, count, axis=0)
    rows, d = points.shape
    moved = rng.random((rows, d)) < np.minimum(1.0, rng.choice([1.0, 2.0, 5.0], size=(rows, 1)) / d)
    moved[np.arange(rows), rng.integers(d, size=rows)] = True
    scale = rng.choice([0.01, 0.05, 0.2, 0.5], size=(rows, 1))
    numbers = points + scale * rng.standard_normal((rows, d))
    # Reflected, not clipped: a clipped walk would gather on the faces.
    numbers = np.abs(numbers - 2.0 * np.round(numbers / 2.0))
    jump = 1 + np.floor(rng.random((rows, d)) * np.maximum(space.categories - 1, 1))
    choices = np.mod(points + jump, np.maximum(space.categories, 1))
    return space.snap(np.where(moved, np.where(space.categories > 0, choices, numbers), points))


def climb(model: Model, space: Space, points: np.ndarray) -> np.ndarray:
    """Points (m, d) after a gradient ascent of the acquisition along the smooth numbers.

    The sum over points is separable, so one L-BFGS-B serves them all (Balandat et al. 2020).
    """
    smooth = space.smooth
    if not smooth.any():
        return points

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        moved = points.copy()
        moved[:, smooth] = flat.reshape(len(points), -1)
        value, gradient = model.acquisition_gradients(moved)
        return -value.sum(), -gradient[:, smooth].ravel()

    flat = points[:, smooth].ravel()
    result = scipy.optimize.minimize(
        objective, flat, jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * len(flat), options={"maxiter": _CLIMB_STEPS}
    )
    moved = points.copy()
    moved[:, smooth] = result.x.reshape(len(points), -1)
    return space.snap(moved)


def improve(model: Model, points: np.ndarray, rivals: np.ndarray) -> np.ndarray:
    """For each point (m, d) the best of itself and its rivals (m k, d), k in a row for each."""
    groups = np.concatenate([points[:, None], rivals.reshape(len(points), -1, points.shape[1])], axis=1)
    value = model.acquisition(groups.reshape(-1, points.shape[1])).reshape(groups.shape[:2])
    return groups[np.arange(len(points)), value.argmax(axis=1)]


def propose(model: Model, space: Space, rng: np.random.Generator) -> np.ndarray:
    """The point (d,) of largest acquisition found that is neither run nor running; the best of all
    if none is left.
    """
    pool = model.ranked_pool()
    points = pool[:_STARTS]
    for _ in range(_ROUNDS):
        points = improve(model, points, perturb(space, points, _MUTANTS, rng))
        points = improve(model, points, climb(model, space, points))
    ranked = np.concatenate([points[np.argsort(-model.acquisition(points), kind="stable")], pool])
    return next((x for x in ranked if _name(x) not in model.taken), ranked[0])


def refine(model: Model, space: Space, rng: np.random.Generator) -> np.ndarray:
    """The point (d,) of largest acquisition among those that differ from the best one in a few
    coordinates.

    In many dimensions the largest expected improvement of all lies where little is known, in
    corners; half of the proposals stay near what is good, as in trust regions (Eriksson et al.
    2019).
    """
    near = perturb(space, model.incumbent[None], _REFINEMENTS, rng)
    ranked = near[np.argsort(-model.acquisition(near), kind="stable")]
    return next((x for x in ranked if _name(x) not in model.taken), ranked[0])


class GaussianProcessBandit(BaseSampler):
    """A batched Gaussian-process bandit with expected improvement, for any Optuna study of one
    objective.

    Matern 5/2 with automatic relevance determination and expected improvement (Snoek et al. 2012);
    categories by Hamming distance (Hutter et al. 2011). Trials still running are believed to come
    out at their predicted mean, so that a batch is one fit and its proposals differ (Desautels et
    al. 2014). Trials that failed, were pruned without a value, or completed with a value that is
    not finite are infeasible: a second process learns where, and weighs the improvement (Gardner et
    al. 2014).

    A trial that was pruned with a value counts with that value, the score of a training cut short,
    which is a pessimistic one. The warp keeps this from bending the model: nearly all such trials
    are in the worse half, which it knows by ranks only, and by rank those pruned later are better,
    as they should be. (Measured, with two thirds or more of the trials of a study stopped: the best
    score is as good as without; benchmarks/stopping.py.)

    A proposal is a function of the seed, the finished trials, the running trials and the trial's
    number, nothing else: a study that was interrupted and reloaded goes on as it would have. The
    kernel is fitted to at most 400 trials; the posterior uses all.

    Every other proposal refines the best point: it is the most promising of those that differ from
    it in a few parameters, as in trust regions (Eriksson et al. 2019); the others are the most
    promising of all.

    The first `n_startup` trials, and parameters that not every completed trial has, follow a Latin
    hypercube (McKay et al. 1979).

    **Arguments:**

    - `seed`: not negative; drawn at random where None.
    - `n_startup`: how many first trials follow no model; where None, one more than there are
      parameters, at least 10.

    **Raises:** `ValueError` at the first proposal for a study of several objectives.
    """

    def __init__(self, *, seed: int | None = None, n_startup: int | None = None):
        self._seed = int(np.random.default_rng().integers(2**31)) if seed is None else seed
        self._n_startup = n_startup
        # Caches, replaced whole and never changed, so that threads may share a sampler. Finished
        # trials keep their identity in Optuna's storages, which makes comparing lists of them
        # quick.
        self._space: tuple[list[FrozenTrial], dict[str, BaseDistribution]] = ([], {})
        self._models: tuple[list[FrozenTrial], Model, Model] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that every completed trial has, but those of a single value."""
        _require_one_objective(study)
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        known, distributions = self._space
        if known != finished:
            distributions = intersection_search_space(finished)
            distributions = {name: dist for name, dist in distributions.items() if not dist.single()}
            self._space = finished, distributions
        return distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The proposal of the model; before there is one, that of the Latin hypercube."""
        trials = [t for t in study.get_trials(deepcopy=False) if search_space.keys() <= t.params.keys()]
        finished = [t for t in trials if t.state.is_finished()]
        if not self._has_model(study, trial.number, search_space, finished):
            return {
                name: self.sample_independent(study, trial, name, distribution)
                for name, distribution in search_space.items()
            }
        space = Space(search_space)
        pending = [space.point(t.params) for t in trials if t.state == TrialState.RUNNING and t.number != trial.number]
        model = self._model(space, finished, study.direction, pending)
        search = refine if trial.number % 2 else propose
        return space.params(search(model, space, self._rng("propose", trial.number)))

    def has_model(self, study: Study, number: int) -> bool:
        """Whether the model proposes trial `number` with what the study knows now; else the Latin
        hypercube does.
        """
        trial = study.get_trials(deepcopy=False)[number]
        space = self.infer_relative_search_space(study, trial)
        trials = [t for t in study.get_trials(deepcopy=False) if space.keys() <= t.params.keys()]
        return self._has_model(study, number, space, [t for t in trials if t.state.is_finished()])

    def _has_model(
        self, study: Study, number: int, search_space: Mapping[str, BaseDistribution], finished: list[FrozenTrial]
    ) -> bool:
        n_startup = max(10, len(search_space) + 1) if self._n_startup is None else self._n_startup
        known = sum(math.isfinite(_loss(t, study.direction)) for t in finished)
        return bool(search_space) and number >= n_startup and known >= 2

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The parameter's value in a Latin hypercube of 16 trials.

        The order of its strata depends on its name, so no other parameter need be known.
        """
        _require_one_objective(study)
        cycle, index = divmod(trial.number, _STRATA)
        rng = self._rng(param_name, cycle)
        u = (rng.permutation(_STRATA)[index] + rng.random(_STRATA)[index]) / _STRATA
        space = Space({param_name: param_distribution})
        return space.params(space.from_cube(np.array([[u]]))[0])[param_name]

    def _rng(self, purpose: str, number: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, zlib.crc32(purpose.encode()), number])

    def _model(
        self, space: Space, finished: list[FrozenTrial], direction: StudyDirection, pending: list[np.ndarray]
    ) -> Model:
        """The model of these trials.

        It is always the fit extended by the pending points one by one, cached or not, so that it
        has the same digits after a restart.
        """
        if self._models is None or self._models[0] != finished:
            X = np.array([space.point(t.params) for t in finished])
            values = np.array([_loss(t, direction) for t in finished])
            fitted = latest = Model.fit(space, X, values, self._rng("pool", len(finished)))
        else:
            _, fitted, latest = self._models
        names = [_name(x) for x in pending]
        model = latest if latest.pending == tuple(names[: len(latest.pending)]) else fitted
        for x in pending[len(model.pending) :]:
            model = model.extend(x)
        self._models = finished, fitted, model
        return model


def _require_one_objective(study: Study) -> None:
    if len(study.directions) > 1:
        raise ValueError("GaussianProcessBandit optimises one objective; this study has several")


def _loss(trial: FrozenTrial, direction: StudyDirection) -> float:
    """What to minimise; infinite for an infeasible trial."""
    if trial.value is None or not math.isfinite(trial.value):
        return math.inf
    return -trial.value if direction == StudyDirection.MAXIMIZE else trial.value
