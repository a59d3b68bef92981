"""Which of the trained networks is kept, by the validation part alone."""

import math
from collections.abc import Mapping
from typing import Any

from capax.fitting.contract import Fitting
from capax.scoring import Estimate

STANDARD_ERRORS = 2 * 1.96
"""In the width of a 95% interval."""

Chosen = tuple[str, str | None]
"""The name of a network, and why it was chosen, in a sentence; None where there was one task."""


def choose(
    networks: Mapping[str, Any], fittings: Mapping[str, Fitting[Any, Any]], selection: Mapping[str, float]
) -> Chosen:
    """The network to keep.

    Of those with one task it is the best by the validation score that the tuner saw. Where there
    are several tasks (`FromFile.alternatives`), the best of each are compared by the first score of
    their answers on the validation part, as contenders are in the end. A network on top of a
    simpler method (`FromFile.simpler`) is then kept if it is at most a standard error worse than
    the best: the rule of one standard error (Breiman et al. 1984, section 3.4.3). Where the
    validation part is too short to tell, it is kept, too.

    **Arguments:** `networks`, `fittings` of their tasks, and `selection`, validation scores of
    which less is better, each by the names of networks.
    """
    by_task: dict[Any, list[str]] = {}
    for name, fitting in fittings.items():
        by_task.setdefault(fitting.task, []).append(name)
    firsts = [min(names, key=lambda name: selection[name]) for names in by_task.values()]
    if len(firsts) == 1:
        return firsts[0], None
    judges = {name: fittings[name].on_validation() for name in firsts}
    answers = {name: judge.answers(networks[name]) for name, judge in judges.items()}
    score = judges[firsts[0]].columns[0]
    values = {name: judge.scores(answers[name])[score.name] for name, judge in judges.items()}
    best = (min if score.less_is_better else max)(firsts, key=lambda name: values[name].value)
    shown = "; ".join(f"{name} {values[name]}" for name in firsts)
    said = f"On the validation part, {score.name}: {shown}"
    simpler = [name for name in firsts if fittings[name].task.simpler]
    if simpler and best not in simpler:
        more = judges[simpler[0]].difference(answers[simpler[0]], answers[best])
        if (more.value if score.less_is_better else -more.value) <= _standard_error(more):
            return simpler[0], f"{simpler[0]} is chosen, the simpler of two that are alike. {said}"
    return best, f"{best} is chosen. {said}"


def _standard_error(of: Estimate) -> float:
    return math.inf if math.isnan(of.low) else (of.high - of.low) / STANDARD_ERRORS
