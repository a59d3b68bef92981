"""All combinations of listed values, in order."""

import math
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from capax.errors import CapaxError
from capax.search.random import Independent
from capax.search.space import Space


def combinations(space: Space) -> int:
    """How many there are: the product of the numbers of choices of the space's categories."""
    return math.prod(len(part.choices) for part in space.values() if isinstance(part, CategoricalDistribution))


class Grid(Independent):
    """Trial n has the n-th combination of the choices; the first name changes slowest. After the
    last comes the first again.
    """

    def __init__(self, space: Space):
        self._choices = {
            name: len(part.choices) for name, part in space.items() if isinstance(part, CategoricalDistribution)
        }

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value of one parameter in the trial's combination. Raises `CapaxError` for one that
        is no choice.
        """
        if not isinstance(param_distribution, CategoricalDistribution):
            raise CapaxError(
                f"a grid needs values of {param_name}, which has no default: list them as hyperparameters.{param_name}."
            )
        names = list(self._choices)
        faster = math.prod(self._choices[name] for name in names[names.index(param_name) + 1 :])
        return param_distribution.choices[trial.number // faster % len(param_distribution.choices)]
