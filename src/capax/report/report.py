"""From a run directory to its report: tables, figures, and report.html, whether the run is finished
or not.
"""

import dataclasses
import io
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from capax.experiments import results
from capax.experiments.record import RunRecord
from capax.files import write_atomically
from capax.report import fit_section, formatting
from capax.report.analyses import Analysis, analyses
from capax.report.figures import drawings
from capax.report.figures.drawing import slug
from capax.report.page import page
from capax.report.rows import known, records
from capax.report.saving import save_figure
from capax.report.view import RunView


@dataclasses.dataclass(frozen=True, repr=False)
class Report:
    """What a run has found.

    `frame` has one row a study, `trials` one row a trial, `analyses` are the tables that compare
    cells, `figures` are matplotlib's by name, `path` is the HTML page. `fault` says what is wrong
    with the journal, None where nothing is.
    """

    directory: Path
    path: Path
    plan: RunRecord
    frame: pd.DataFrame
    trials: pd.DataFrame
    figures: dict[str, Figure]
    analyses: list[Analysis]
    fault: str | None = None

    def __repr__(self) -> str:
        return f"Report of {formatting.number(len(self.frame), 'study', 'studies')} in {self.directory}: {self.path}"


def build(directory: Path, store: str | None = None) -> Report:
    """Write the report of a run directory into it. `store`: the URL of its database, where the
    password is not in the environment.

    Writes results and trials (.csv, .parquet), analyses/ (.csv), figures/ (.svg, .png), and
    report.html. Raises `CapaxError` where the directory holds no run, or cannot be written.
    """
    found, plan = results.read(directory, store)
    frame, trials = results.studies(found, plan), results.trials(found, plan)
    _save_table(frame, directory / "results")
    _save_table(trials, directory / "trials")
    run = RunView(plan, frame, trials)
    drawn, compared = drawings(run), analyses(run)
    for analysis in compared:
        path = directory / "analyses" / f"{slug(analysis.task)}-{analysis.name}.csv"
        write_atomically(path, analysis.frame().to_csv(index=False))
    fitted = fit_section.section(directory, _best_trials(frame), found.curve)
    every = [*([] if fitted is None else fitted.drawings), *drawn]
    images = {drawing.name: save_figure(drawing.figure, directory / "figures" / drawing.name) for drawing in every}
    path = directory / "report.html"
    write_atomically(path, page(run, directory, drawn, images, compared, fitted))
    figures = {drawing.name: drawing.figure for drawing in every}
    return Report(directory, path, plan, frame, trials, figures, compared, found.fault)


def _best_trials(frame: pd.DataFrame) -> dict[str, int]:
    """The number of the best trial of each study that has one."""
    return {row["study"]: int(row["best_trial"]) for row in records(known(frame, "best_trial"))}


def _save_table(frame: pd.DataFrame, path: Path) -> None:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_atomically(path.with_suffix(".parquet"), buffer.getvalue())
    write_atomically(path.with_suffix(".csv"), frame.to_csv(index=False))
