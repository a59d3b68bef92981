"""Which of the trained networks is kept, by the validation part alone."""

import math
from collections.abc import Mapping
from typing import Any

from capax.fitting.contract import Fitting
from capax.scoring import Estimate

STANDARD_ERRORS = 2 * 1.96
"""In the width of a 95% interval."""


def safer(
    best: str, networks: Mapping[str, Any], fittings: Mapping[str, Fitting[Any, Any]], selection: Mapping[str, float]
) -> tuple[str, str] | None:
    """The network to keep in place of the best by its validation score, and why, in a sentence;
    None where the best is kept.

    A network on top of a simpler method (`FromFile.simpler`) is kept if on the validation part
    it is at most a standard error worse than the best: the rule of one standard error (Breiman et
    al. 1984, section 3.4.3). Where the validation part is too short to tell, it is kept, too.

    **Arguments:** `networks`, `fittings` of their tasks, and `selection`, validation scores of
    which less is better, each by the names of networks.
    """
    simpler = {name for name in networks if fittings[name].task.simpler}
    if best in simpler or not simpler:
        return None
    chosen = min(simpler, key=lambda name: selection[name])
    one, other = (fittings[name].on_validation() for name in (chosen, best))
    behind = one.difference(one.answers(networks[chosen]), other.answers(networks[best]))
    if behind.value > _standard_error(behind):
        return None
    of_score = f"{one.columns[0].name} on the validation part, {behind.value:+.3g}"
    known = "" if math.isnan(behind.low) else f" [{behind.low:.3g}, {behind.high:.3g}]"
    return (
        chosen,
        f"{chosen} is chosen, not {best}: it is the simpler, and their difference is small ({of_score}{known})",
    )


def _standard_error(of: Estimate) -> float:
    return math.inf if math.isnan(of.low) else (of.high - of.low) / STANDARD_ERRORS
