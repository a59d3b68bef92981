"""What figures, tables, and sentences see of a run: the rows of one task at a time."""

import dataclasses
import functools

import numpy as np
import pandas as pd

from capax.experiments.design import Experiment
from capax.experiments.record import RunRecord, TaskRecord
from capax.experiments.searches import joined
from capax.report import formatting
from capax.report.rows import select
from capax.report.style import Style, labels, styles


@dataclasses.dataclass(frozen=True)
class Panel:
    """One depth and one size: what cells are compared within."""

    depth: int
    size: float


@dataclasses.dataclass(frozen=True, eq=False)
class TaskView:
    """One task of a run: its studies and searches, and its trials (one row each, with reruns).

    `label` is the task's name with the values of the options that are swept.
    """

    label: str
    run: "RunView"

    @property
    def task(self) -> TaskRecord:
        """The task itself."""
        return self.run.plan.tasks[self.label]

    @functools.cached_property
    def design(self) -> Experiment:
        """The design as it holds for this task."""
        return self.run.plan.of(self.label)

    @functools.cached_property
    def studies(self) -> pd.DataFrame:
        """One row for all searches that are alike but for their seeds."""
        return select(self.run.joined, task=self.label)

    @functools.cached_property
    def searches(self) -> pd.DataFrame:
        """One row a search."""
        return select(self.run.frame, task=self.label)

    @property
    def several(self) -> bool:
        """Whether each search is made several times."""
        return self.design.searches > 1

    @functools.cached_property
    def tuned(self) -> pd.DataFrame:
        """Trials of the tuner that have ended."""
        return _ended(select(self.run.trials, task=self.label, rerun=False))

    @functools.cached_property
    def reruns(self) -> pd.DataFrame:
        """Reruns that have ended."""
        return _ended(select(self.run.trials, task=self.label, rerun=True))

    @functools.cached_property
    def variants(self) -> list["TaskView"]:
        """This task with each value of the options that are swept."""
        return [view for view in self.run.tasks if view.task.name == self.task.name]

    @property
    def leads(self) -> bool:
        """Whether it is the first of its variants: what shows all of them belongs to it."""
        return self.variants[0].label == self.label

    @property
    def sized(self) -> str:
        """The column that sizes are told apart by."""
        return self.design.sized

    @property
    def unit(self) -> str:
        """What sizes count."""
        return "units" if self.sized == "units" else "parameters"

    @property
    def names(self) -> dict[str, str]:
        """The names that cells are shown by."""
        return labels(self.design.cells)

    @property
    def styles(self) -> dict[str, Style]:
        """What cells are drawn with."""
        return styles(self.design.cells)

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.task.reporting.direction == "maximise" else -1

    @property
    def random(self) -> bool:
        """Whether hyperparameters were drawn at random."""
        return self.run.plan.experiment.sampler == "random"

    @property
    def stops(self) -> bool:
        """Whether a rule stops trials before their end."""
        return self.design.stopping != "none"

    @property
    def baselines(self) -> dict[str, float]:
        """Scores of simple methods by name."""
        return {baseline.name: baseline.value for baseline in self.task.baselines}

    @property
    def planned(self) -> int:
        """The trials of a study."""
        return max(study.trials for study in self.run.plan.studies if study.label == self.label)

    def option(self, name: str) -> float:
        """The value of one of the task's options that is a number."""
        return float(self.task.options[name])

    @property
    def least_scores(self) -> np.ndarray:
        """Units per layer, and the best scores that networks with so many can have; empty where
        that is not known.
        """
        return np.asarray(self.task.least_scores, float).reshape(-1, 2).T

    def size(self, value: formatting.Number) -> str:
        """A size as a table shows it."""
        return f"{formatting.count(value)}{' units' if self.sized == 'units' else ''}"

    def panels(self, rows: pd.DataFrame) -> list[Panel]:
        """The depths and sizes that rows have, in order."""
        pairs = {(int(depth), float(size)) for depth, size in zip(rows["depth"], rows[self.sized], strict=True)}
        return [Panel(*pair) for pair in sorted(pairs)]

    def within(self, rows: pd.DataFrame, panel: Panel) -> pd.DataFrame:
        """The rows of one depth and size."""
        return select(rows, depth=panel.depth, **{self.sized: panel.size})

    def title(self, panel: Panel, panels: list[Panel]) -> str:
        """What tells a panel from the others."""
        parts = [formatting.layers(panel.depth)] if len({one.depth for one in panels}) > 1 else []
        if len({one.size for one in panels}) > 1 or not parts:
            parts.append(f"{formatting.count(panel.size)} {self.unit}")
        return ", ".join(parts)

    def groups(self, trials: pd.DataFrame) -> list[tuple[Panel, dict[str, pd.DataFrame]]]:
        """The trials of each cell, by depth and size."""
        found = []
        for panel in self.panels(trials):
            rows = self.within(trials, panel)
            by_cell = {cell: select(rows, cell=cell) for cell in self.names}
            found.append((panel, {cell: part for cell, part in by_cell.items() if len(part)}))
        return found


@dataclasses.dataclass(frozen=True, eq=False)
class RunView:
    """A run: its plan, `frame` with one row a search, `trials` with one row a trial."""

    plan: RunRecord
    frame: pd.DataFrame
    trials: pd.DataFrame

    @functools.cached_property
    def joined(self) -> pd.DataFrame:
        """One row for all searches that are alike."""
        return joined(self.frame, self.plan)

    @functools.cached_property
    def tasks(self) -> list[TaskView]:
        """The tasks with each value of what is swept, in order."""
        return [TaskView(label, self) for label in self.plan.tasks]


def _ended(trials: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(trials[trials["state"] != "running"])
