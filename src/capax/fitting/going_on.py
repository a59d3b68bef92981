"""Whether a fit may go on in its directory with what is asked for now: in the words of the command
line."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from capax.errors import CapaxError
from capax.experiments.design import Experiment

OPTIONS = ("target", "time", "series", "covariates", "future", "horizon", "encoding", "decimal")
"""Options of a job's task that are options of `capax fit`, too; others are given with --set."""
NOT_GIVEN = "not given"


def check(directory: Path, begun: Experiment, now: Experiment, files: Collection[str | None]) -> None:
    """Raise `CapaxError` where an option is another than when the fit was begun.

    **Arguments:** `files`: options of the task that name files, which are compared by what is in
    them, elsewhere.
    """
    if begun.name != now.name:  # no fit, but a run of an experiment
        return
    was, is_ = _asked(begun, files), _asked(now, files)
    changed = [name for name in {**was, **is_} if was.get(name) != is_.get(name)]
    if "--cells" in changed and set(begun.cells) <= set(now.cells):
        changed.remove("--cells")
    if begun.tasks != now.tasks:  # other options follow from the job
        changed = ["--job"]
    if not changed:
        return
    said = "; ".join(
        f"{name} was {was.get(name, NOT_GIVEN)}, and is {is_.get(name, NOT_GIVEN)} now" for name in changed
    )
    more = " (more cells may be named)" if "--cells" in changed else ""
    them = "it" if len(changed) == 1 else "them"
    raise CapaxError(
        f"{directory} holds a fit with other options: {said}; give {them} as before{more} to go on with it, or name "
        "another directory with --out."
    )


def _asked(experiment: Experiment, files: Collection[str | None]) -> dict[str, str]:
    """The options of `capax fit` that make this experiment, as they are written there."""
    job = experiment.tasks[0]
    found: dict[str, Any] = {
        "--job": _listed(experiment.tasks),
        "--cells": _listed(experiment.cells),
        "--depth": _listed(experiment.depths),
        "--budget": _listed(experiment.budgets),
        "--trials": experiment.trials,
        "--steps": experiment.steps[1],
        "--seed": experiment.seed,
    }
    of_task = experiment.model_dump(mode="json")["task"].get(job, {})
    for name, value in of_task.items():
        if name != "sweep" and name not in files:
            found[f"--{name}" if name in OPTIONS else f"--set {name}"] = value
    return {name: str(value) for name, value in found.items()}


def _listed(values: Iterable[Any]) -> str:
    return ",".join(map(str, values))
