"""From a plan to the record that its run directory keeps: all that the report says, computed once,
while code and data are at hand.
"""

import dataclasses
import datetime
import inspect
import types
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from capax import cells, contents
from capax.experiments.plan import Plan, StudyPlan
from capax.experiments.record import (
    Baseline,
    CellRecord,
    RunRecord,
    SpaceRecord,
    StoreRecord,
    StudyRecord,
    TaskRecord,
    to_json,
)
from capax.experiments.resuming import begun, check_extends, join
from capax.search import url as urls
from capax.search.space import as_data
from capax.search.store import Store, in_database
from capax.tasks.task import Task
from capax.training import environment
from capax.training.divergence import CRITERION

LEAST_SCORE_POINTS = 65
"""Numbers of units at which a task's least score is written down, from half the smallest network's
to twice the largest one's.
"""

MEASURED_ON = "the evaluation section"


def open_run(
    plan: Plan, directory: Path, say: Callable[[str], None] = lambda _: None, store: str | None = None
) -> Store:
    """The store of a run that begins in a directory, or goes on there; its record is written down
    first.

    `say` is told what a reader should know of a run that goes on. `store`: the URL of a database
    for its trials; one that goes on has its own. Raises `CapaxError` where it must not.
    """
    _say_short_grids(plan, say)

    def resolve(found: dict[str, Any] | None) -> dict[str, Any]:
        kept = _store(directory, found, store)
        return to_json(dataclasses.replace(_record(plan, directory, found, say), store=kept))

    return Store.create(directory, resolve, say, store)


def _store(directory: Path, found: dict[str, Any] | None, url: str | None) -> StoreRecord | None:
    """The database that the record shall name: that of a run that goes on has its id already."""
    if found is not None:
        place = in_database(found, url, str(directory))
        return None if place is None else StoreRecord(urls.shown(place.url), place.run)
    return None if url is None else StoreRecord(urls.shown(urls.parse(url)), uuid.uuid4().hex)


def _say_short_grids(plan: Plan, say: Callable[[str], None]) -> None:
    """Say where a grid has fewer points than trials were asked for."""
    asked = {study.name: plan.of(study.label).trials for study in plan.studies}
    short = {study.name: study.trials for study in plan.studies if study.trials < asked[study.name]}
    for name, trials in short.items():
        points = "1 point" if trials == 1 else f"{trials:,} points"
        say(f"{name}: the grid has {points}, so there are {trials:,} trials and not the {asked[name]:,} asked for")


def _record(plan: Plan, directory: Path, found: dict[str, Any] | None, say: Callable[[str], None]) -> RunRecord:
    """What experiment.json shall hold, but for the store: `found` is what it holds, None where the
    run begins now.
    """
    old = None if found is None else begun(directory, found)
    new = describe(plan, {} if old is None else old.tasks)
    if old is not None:
        return join(directory, old, new, say)
    if found is not None:
        check_extends(directory, found["experiment"], plan.experiment.model_dump(mode="json"))
        say(
            f"{directory} was begun by an older capax, which kept no record of texts and code: they are taken to be the same"
        )
        new = dataclasses.replace(new, created=found.get("created", new.created))
    return new


def describe(plan: Plan, known: Mapping[str, TaskRecord] = types.MappingProxyType({})) -> RunRecord:
    """The record of a run in this process. Tasks that are `known`, by label, are not measured
    again.
    """
    by_label: dict[str, list[StudyPlan]] = {}
    for study in plan.studies:
        by_label.setdefault(study.label, []).append(study)
    names = dict.fromkeys(study.shape.cell for study in plan.studies)
    return RunRecord(
        divergence=CRITERION,
        experiment=plan.experiment,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        environments=(environment.here(_device()),),
        cells={name: _cell(name) for name in names},
        tasks={label: _task(label, of, known.get(label)) for label, of in by_label.items()},
        studies=tuple(_study(plan, study) for study in plan.studies),
        left_out=tuple(plan.left_out),
    )


def _device() -> str:
    kinds = [device.device_kind for device in jax.local_devices()]
    return f"{len(kinds)} x {kinds[0]}" if len(kinds) > 1 else kinds[0]


def _cell(name: str) -> CellRecord:
    found = cells.get(name)
    module = inspect.getmodule(found)
    said = (found.__doc__ or (module.__doc__ if module else "") or "").strip()
    return CellRecord(name, " ".join(said.split("\n\n")[0].split()), contents.of_code(name))


def _task(label: str, studies: list[StudyPlan], known: TaskRecord | None) -> TaskRecord:
    task = studies[0].task
    made_from = task.contents()
    if known is not None and [content.sha256 for content in known.contents] == [
        content.sha256 for content in made_from
    ]:
        return dataclasses.replace(known, code=contents.of_code(task.name))
    return TaskRecord(
        label=label,
        name=task.name,
        options=dataclasses.asdict(task),
        inputs=task.inputs,
        outputs=task.outputs,
        length=task.length,
        first=task.first,
        reporting=task.reporting,
        chance=task.facts.chance,
        perfect=task.facts.perfect,
        least_scores=_least_scores(task, [study.shape.units for study in studies]),
        baselines=tuple(Baseline(name, float(value), MEASURED_ON) for name, value in task.baselines().items()),
        contents=made_from,
        remarks=task.remarks(),
        code=contents.of_code(task.name),
    )


def _least_scores(task: Task, units: list[int]) -> tuple[tuple[float, float], ...]:
    """The least score against units, where the task knows it."""
    least = task.facts.least_score
    if least is None:
        return ()
    grid = np.geomspace(min(units) / 2, max(units) * 2, LEAST_SCORE_POINTS)
    return tuple((float(value), float(least(float(value)))) for value in sorted({*grid, *map(float, units)}))


def _study(plan: Plan, study: StudyPlan) -> StudyRecord:
    design = plan.of(study.label)
    return StudyRecord(
        name=study.name,
        label=study.label,
        cell=study.shape.cell,
        depth=study.shape.depth,
        budget=study.budget,
        units=study.shape.units,
        parameters=study.shape.parameters,
        trials=study.trials,
        trials_asked=design.trials,
        reruns=study.reruns,
        steps=design.steps,
        sampler=design.sampler,
        stopping=design.stopping,
        direction=study.task.reporting.direction,
        first_proposal=study.defaults,
        search=study.search,
        space={name: SpaceRecord(**as_data(distribution)) for name, distribution in study.space.items()},
    )
