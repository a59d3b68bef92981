"""The result of a fit in sentences: whether the network beats what people use without one."""

import math
from collections.abc import Mapping

from capax.fitting.contract import Score
from capax.scoring import Estimate


def best(scores: Mapping[str, Mapping[str, Estimate]], score: Score) -> str | None:
    """The name of the contender that is best by a score; None where nobody has it."""
    known = {name: found[score.name].value for name, found in scores.items() if score.name in found}
    known = {name: value for name, value in known.items() if not math.isnan(value)}
    if not known:
        return None
    return (min if score.less_is_better else max)(known, key=lambda name: known[name])


def sentences(
    score: Score,
    network: tuple[str, Estimate],
    baseline: tuple[str, Estimate] | None,
    behind: Estimate | None,
    unit: str,
) -> tuple[str, ...]:
    """The verdict.

    **Arguments:** `score`, by which contenders are ranked; the chosen network and the best method
    without one, each with its score; `behind`: how much the method's score is above the network's,
    in pairs; `unit`: what was resampled, such as "forecasts".
    """
    name, own = network
    if baseline is None or behind is None:
        return (f"{name}: {score.name} {own}.",)
    other, theirs = baseline
    factor = 1 if score.less_is_better else -1
    low, high = sorted((factor * behind.low, factor * behind.high))
    numbers = f"{score.name} {own} against {theirs}"
    interval = f"the difference in pairs of {unit} has the 95% interval [{behind.low:.3g}, {behind.high:.3g}]"
    if low == high == 0:
        interval = f"they do equally well on each of the {unit}"
    if math.isnan(low):
        return (f"Too few {unit} to tell {name} from {other}: {numbers}.",)
    if low > 0:
        return (f"The network ({name}) is better than the best method without one ({other}): {numbers}; {interval}.",)
    if high < 0:
        return (
            f"A method without a network wins: {other} is better than the best network ({name}): {_swapped(score, own, theirs)}; "
            f"{interval}. Use the method, or give more data, trials, or time.",
        )
    return (
        f"The network ({name}) and the best method without one ({other}) cannot be told apart: {numbers}; {interval}.",
    )


def _swapped(score: Score, own: Estimate, theirs: Estimate) -> str:
    return f"{score.name} {theirs} against {own}"
