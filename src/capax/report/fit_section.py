"""What a report says first where a model was fitted to a user's own data: verdict, scores beside
those of methods without a network, figures of the job, and how to use the model.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from capax.fitting import outcome as outcomes
from capax.fitting.outcome import Ends, Outcome
from capax.report import formatting
from capax.report.figures.drawing import Drawing
from capax.report.fit_figures import draw
from capax.report.style import look

MODEL = "model.safetensors"
Curve = Callable[[str, int], pd.DataFrame | None]

USES = {
    "forecast": "capax predict {model} NEW.csv --out forecast.csv",
    "classify": "capax predict {model} NEW.csv --out labels.csv",
    "label": "capax predict {model} NEW.csv --out labels.csv",
    "translate": "capax predict {model} NEW.csv --out answers.csv",
    "language": 'capax generate {model} --prompt "The " --length 300',
}


@dataclasses.dataclass(frozen=True)
class FitSection:
    """`outcome`: what the fit found; `drawings`: the figures of the job; `directory` of the run."""

    outcome: Outcome
    directory: Path
    drawings: list[Drawing]

    @property
    def headers(self) -> list[str]:
        """Of the table of scores."""
        scores = (f"{column.name} [95%]{column.unit and f', {column.unit}'}" for column in self.outcome.columns)
        return ["", "parameters", *scores]

    @property
    def rows(self) -> list[tuple[bool, list[str]]]:
        """Of the table, the best by the first score first: whether it is a network; the cells."""
        rows = []
        for each in self._ordered:
            chosen = " (chosen by validation)" if each.name == self.outcome.chosen else ""
            size = formatting.count(each.parameters) if each.kind == "network" else formatting.MISSING
            scores = [_said(each.scores.get(column.name)) for column in self.outcome.columns]
            rows.append((each.kind == "network", [f"{each.name}{chosen}", size, *scores]))
        return rows

    @property
    def _ordered(self) -> list[outcomes.Contender]:
        first = self.outcome.columns[0]
        sign = -1 if first.less_is_better is False else 1

        def place(each: outcomes.Contender) -> float:
            value = each.scores.get(first.name, (None,))[0]
            return float("inf") if value is None else sign * value

        return sorted(self.outcome.contenders, key=place)

    def shown(self, figures: list[dict[str, Any]]) -> dict[str, Any]:
        """The section as the template has it."""
        model = self.directory / MODEL
        uses = USES[self.outcome.job].format(model=model)
        return {
            "title": f"Scores on the evaluation part of {self.outcome.data}",
            "verdict": self.outcome.verdict,
            "headers": self.headers,
            "rows": [{"network": network, "cells": cells} for network, cells in self.rows],
            "table_notes": self.notes,
            "notes": self.outcome.notes,
            "figures": figures,
            "found": self.found,
            "usage": f"{uses}\ncapax show {model}",
        }

    @property
    def notes(self) -> list[str]:
        """What a reader of the table should know."""
        said = [
            "The evaluation part has been seen neither by training nor by any choice. In brackets 95% intervals by resampling "
            "what was predicted: they cover the data, not another training run.",
            f"{self.outcome.chosen} is in {MODEL}: it was chosen among the networks on the validation part, not by this table.",
        ]
        ahead = next(each.name for each in self._ordered if each.kind == "network")
        if ahead != self.outcome.chosen:
            said.append(f"{ahead} scores better here. To choose it for that would make its score look too good.")
        better = [column.name for column in self.outcome.columns if column.less_is_better is False]
        if better:
            said.append(f"More is better: {', '.join(better)}.")
        said += self._coverage
        return [*said, *(formatting.capital(note.rstrip(".")) + "." for note in self.outcome.left_out)]

    @property
    def found(self) -> str:
        """What stands before the results of the experiment, whose scores are others."""
        return (
            f"How the networks were found. The network that is kept, {self.outcome.chosen}, was chosen on the validation "
            "part. Scores on the evaluation data, here as above, have chosen nothing."
        )

    @property
    def _coverage(self) -> list[str]:
        """A warning where the chosen network's intervals do not hold what they say."""
        said = []
        for name, found in self.outcome.contender(self.outcome.chosen).scores.items():
            level = re.fullmatch(r"coverage of (\d+)%", name)
            value, low, high = found
            if level is None or value is None or low is None or high is None:
                continue
            due = int(level[1]) / 100
            if not low <= due <= high:
                narrow = "narrow" if value < due else "wide"
                said.append(
                    f"The {level[1]}% intervals of {self.outcome.chosen} are too {narrow}: "
                    f"they hold {100 * value:.0f}% of what came in this part."
                )
        return said

    @property
    def text(self) -> str:
        """Verdict, table, and notes as plain text."""
        rows = [self.headers, *(cells for _, cells in self.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = [
            "  ".join(f"{cell:{'<' if number == 0 else '>'}{width}}" for number, (cell, width) in enumerate(row))
            for row in (zip(cells, widths, strict=True) for cells in rows)
        ]
        return "\n".join([*self.outcome.verdict, "", *(line.rstrip() for line in table), "", *self.notes])


def _said(score: Ends | None) -> str:
    if score is None or score[0] is None:
        return formatting.MISSING
    value, *interval = (formatting.significant(number, 3) for number in score if number is not None)
    return f"{value} [{', '.join(interval)}]" if interval else value


def section(directory: Path, best: Mapping[str, int], curve: Curve) -> FitSection | None:
    """The section of a run directory; None where it is no finished fit.

    **Arguments:** `best`: the number of the best trial of each study; `curve`: a trial's learning
    curve, by study and number.
    """
    if not (directory / outcomes.FILE).exists():
        return None
    found = outcomes.read(directory)
    answers = {each.name: pd.read_parquet(directory / each.answers) for each in found.contenders}
    answers |= {name: pd.read_parquet(directory / "answers" / f"{name}.parquet") for name in found.further}
    networks = [each for each in found.contenders if each.kind == "network"]
    curves = {each.name: curve(each.study, best[each.study]) for each in networks if each.study in best}
    known = {name: each for name, each in curves.items() if each is not None and len(each)}
    with look():
        return FitSection(found, directory, draw(found, answers, known))
