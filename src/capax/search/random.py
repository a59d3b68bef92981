"""Random search that resumes exactly (Collins et al. 2017, Figure 5, draw hyperparameters this
way).
"""

import zlib
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial


class Independent(optuna.samplers.BaseSampler):
    """A sampler whose parameters do not depend on each other."""

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """None: every parameter is independent."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """None: every parameter is independent."""
        return {}


class SeededRandom(Independent):
    """Independent draws that depend on the seed, the trial's number, and the parameter's name
    alone.
    """

    def __init__(self, seed: int):
        self._seed = seed

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """One parameter's draw."""
        sequence = np.random.SeedSequence([self._seed, trial.number, zlib.crc32(param_name.encode())])
        draw = optuna.samplers.RandomSampler(int(sequence.generate_state(1)[0]))
        return draw.sample_independent(study, trial, param_name, param_distribution)
