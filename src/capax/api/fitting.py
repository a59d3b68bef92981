"""From a user's own sequences to a trained network and its report."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from capax.api.running import named
from capax.experiments.progress import Display
from capax.fitting import asking, comparing
from capax.fitting import fit as fitting
from capax.fitting.loaded import LoadedModel
from capax.fitting.loaded import load as load_model
from capax.fitting.outcome import Outcome
from capax.report import build
from capax.report.fit_section import FitSection
from capax.training import backend
from capax.training import engine as engines
from capax.workers import Workers


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What `fit` gives: the `model` that is best on the validation part, and what is known of it.

    `outcome`: all that `fit.json` keeps; `report`: the page; `directory`: where all of it is.
    """

    model: LoadedModel
    outcome: Outcome
    report: Path
    directory: Path

    def __str__(self) -> str:
        """The verdict, the scores with their intervals, and where model and report are."""
        section = FitSection(self.outcome, self.directory, [])
        return f"{section.text}\nmodel: {self.directory / comparing.MODEL}\nreport: {self.report}"

    @property
    def scores(self) -> pd.DataFrame:
        """Networks and methods without one, on the evaluation part: a row each."""
        return comparing.frame(self.outcome)

    def predict(self, data: Any, **options: Any) -> pd.DataFrame:
        """Answers to new data (`LoadedModel.predict`)."""
        return self.model.predict(data, **options)

    def generate(self, prompt: str = "", **options: Any) -> Iterator[str]:
        """Symbols of a language model (`LoadedModel.generate`)."""
        return self.model.generate(prompt, **options)

    def stream(self) -> Any:
        """A reader of one step at a time (`LoadedModel.stream`)."""
        return self.model.stream()

    def save(self, path: str | Path) -> None:
        """Write the model file."""
        self.model.save(path)


def fit(
    data: Any,
    *,
    job: str | None = None,
    target: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    cells: Sequence[str | type] = fitting.CELLS,
    depth: int = 1,
    budget: int | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    engine: str = "local",
    display: Display | None = None,
    **options: Any,
) -> Fitted:
    """Find, train, and keep the best network for a user's own sequences, beside the methods that
    people trust; the same call on the same directory goes on.

        fitted = capax.fit("weather.csv", job="forecast", target="temp_max", horizon=7)
        fitted.predict("weather.csv"), fitted.scores, fitted.report

    **Arguments:**

    - `data`: a file (CSV, TSV, Parquet, text, .npy, .npz, CoNLL-U) or a DataFrame.
    - `job`: "forecast", "classify", "label", "translate", or "language"; by default what the file
      looks like.
    - `target`, `options`: of the job's task, such as `time`, `series`, `horizon`, `covariates`
      (`capax list tasks`).
    - `out`: the directory, by default `runs/NAME` of the file.
    - `cells`, `depth`, `budget` of parameters: what is compared.
    - `trials` of each cell; `minutes`, in which training is to end (by default 3), or `steps` of
      training.

    Raises `CapaxError` for bad input, before training.
    """
    backend.configure()
    make_engine = functools.partial(engines.INSTALLED.get(engine).begin, Workers())
    file = data if isinstance(data, str | Path) else "data"
    directory = Path(out) if out is not None else Path("runs") / Path(file).stem
    wishes = fitting.Wishes(
        job=job,
        options=asking.options({"target": target, **options}),
        cells=tuple(named("cells", cells)),
        depth=depth,
        budget=budget,
        trials=trials,
        minutes=minutes,
        steps=steps,
        seed=seed,
    )
    outcome = fitting.fit(asking.as_file(data, directory), directory, wishes, make_engine, display)
    return Fitted(load_model(directory / comparing.MODEL), outcome, build(directory).path, directory)
