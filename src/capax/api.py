"""What scripts and the command line call: from an experiment, a probe, or a cell to its report."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd

from capax import cells, tasks
from capax.errors import CapaxError
from capax.experiments.design import load
from capax.experiments.models import task_of
from capax.experiments.plan import plan
from capax.experiments.progress import Display
from capax.experiments.runner import execute
from capax.fitting import asking, comparing
from capax.fitting import fit as fitting
from capax.fitting.loaded import LoadedModel
from capax.fitting.loaded import load as load_model
from capax.fitting.loaded import model_file as resolved
from capax.fitting.outcome import Outcome
from capax.interop import exporting
from capax.measuring import complexity as measuring_complexity
from capax.measuring import costs as measuring_costs
from capax.probes import Subject
from capax.probes import data as probe_data
from capax.probes import probe as measure
from capax.probes import text as probe_text
from capax.probes.data import Driving
from capax.report import Report, build, probe_report
from capax.report.complexity import ComplexityReport
from capax.report.complexity import report as complexity_report
from capax.report.costs import CostReport
from capax.report.fit_section import FitSection
from capax.sinks import sink
from capax.training import backend, model
from capax.training import engine as engines
from capax.workers import Workers


def run(
    experiment: str,
    out: str | Path | None = None,
    *,
    engine: str = "local",
    address: str | None = None,
    store: str | None = None,
    sinks: Sequence[str] = (),
    display: Display | None = None,
    **settings: Any,
) -> Report:
    """Run an experiment, or go on with it, to its end; the same call on the same directory resumes.

    **Arguments:**

    - `experiment`: a name (`capax list experiments`) or a TOML file.
    - `out`: the run directory, by default `runs/NAME`.
    - `engine`: where trials are trained; "local" is this process, "ray" a Ray cluster, others may
      be installed; `address`: of the cluster, where it is there already.
    - `store`: the URL of a database that keeps the trials in place of a file in the directory, such
      as `postgresql+psycopg://user@host/database`. A run that goes on may leave it out. A password
      in it is not kept.
    - `sinks`: programs that are told of each trial, "tensorboard" or "mlflow" (extras of these
      names), others may be installed.
    - `display`: told of the progress.
    - `settings`: keys of the experiment to replace, such as `cells=["rnn", MyCell]`,
      `budgets=[1000]`, `trials=64`. A cell may be a class at the top of a module, script, or
      notebook. The run names it `module.path:Class`; one of a script or notebook is
      `__main__:Class`, and only from there can the run be gone on with.

    **Returns:** a report with `.frame` (one row a study), `.trials`, `.figures` (matplotlib), and
    `.path` (report.html).

    Raises `CapaxError` for bad input, before anything is written.
    """
    backend.configure()
    found, told = engines.INSTALLED.get(engine), {name: sink.INSTALLED.get(name) for name in sinks}
    chosen = plan(load(experiment, {key: _named(key, value) for key, value in settings.items()}))
    directory = Path(out) if out is not None else Path("runs") / chosen.experiment.name
    execute(chosen, directory, lambda: found.begin(chosen.experiment.workers, address), display, store, told)
    return build(directory, store)


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
    named = data if isinstance(data, str | Path) else "data"
    directory = Path(out) if out is not None else Path("runs") / Path(named).stem
    wishes = fitting.Wishes(
        job=job,
        options=asking.options({"target": target, **options}),
        cells=tuple(_named("cells", cells)),
        depth=depth,
        budget=budget,
        trials=trials,
        minutes=minutes,
        steps=steps,
        seed=seed,
    )
    outcome = fitting.fit(asking.as_file(data, directory), directory, wishes, make_engine, display)
    return Fitted(load_model(directory / comparing.MODEL), outcome, build(directory).path, directory)


ENDINGS = {"onnx": ".onnx", "torch": ".torch.safetensors", "safetensors": ".arrays.safetensors"}
"""Of exported files."""


def export(model_file: str | Path, to: str, out: str | Path | None = None) -> list[exporting.Checked]:
    """A model file for another program: "onnx", "torch" (a state dict, as safetensors), or
    "safetensors" (arrays by name).

    `out`: by default beside the model. ONNX reads lengths of sequences, and symbols where the
    network does.

    **Returns:** each file, and how it was checked. Raises `CapaxError` for a model that has no such
    form.
    """
    model_file = resolved(model_file)
    loaded = load_model(model_file)
    path = Path(out) if out is not None else Path(model_file).with_suffix(ENDINGS.get(to, f".{to}"))
    if path.resolve() == Path(model_file).resolve():
        raise CapaxError(f"{path} is the model itself; name another file with --out.")
    return exporting.export(loaded, to, path, symbols=loaded.reads_symbols, lengths=True)


def _named(key: str, value: Any) -> Any:
    """A setting's value with classes of cells replaced by their names."""
    if key.rpartition(".")[2] != "cells":
        return value
    return [cells.name_of(cell) for cell in (value if isinstance(value, list | tuple) else [value])]


def probe(
    name: str,
    subject: str | Path,
    out: str | Path | None = None,
    *,
    task: str | None = None,
    task_options: Mapping[str, Any] | None = None,
    data: "np.ndarray | str | Path | None" = None,
    text: str | None = None,
    reading: Mapping[str, str] | None = None,
    length: int = 300,
    batch: int = 64,
    seed: int = 0,
    units: int = 64,
    depth: int = 1,
    inputs: int = 1,
    outputs: int = 1,
    hyperparameters: Mapping[str, Any] | None = None,
    **options: Any,
) -> probe_report.ProbeReport:
    """One measurement on a network, written to a directory with its figure.

    **Arguments:**

    - `name`: of the probe (`capax list probes`).
    - `subject`: a cell's name or module.path:Class, to be initialised with `hyperparameters`; or
      the file of a trained network (models/*.safetensors in a run directory).
    - `out`: the directory, by default `probes/SUBJECT`.
    - `task`, `task_options`: what drives the network, and whose loss is measured; or `data`, an
      array (sequences, time, features) or a file (CSV, TSV, Parquet, .npy, .npz); or `text`,
      "letters", "characters", "words", or "tokens", of which the text in `data`, by default
      Python's own help texts, is a sequence (probes.text.sequences); by default white noise of
      `inputs` features and `length` steps.
    - `reading`: how the file is to be read where it does not say so itself: "encoding"; of a table
      "time" and "series", the columns of these roles ("none": there is none), and "decimal", its
      decimal mark.
    - `batch`: how many sequences; `seed`: of all that is random; `units`, `depth`, `inputs`,
      `outputs`: sizes of a fresh network.
    - `options`: the probe's own.

    **Returns:** `.summary` (numbers by name), `.frame`, `.figure` (matplotlib).

    Raises `CapaxError` for bad input, before anything is written.
    """
    backend.configure()
    driving = _driving(data, text, length, dict(reading or {}))
    values, notes = (None, ()) if driving is None else (driving.values, driving.notes)
    if str(subject).endswith(".safetensors"):
        given = [name for name, value in (("a task", task), ("hyperparameters", hyperparameters)) if value]
        if given:
            what = " and ".join(given)
            raise CapaxError(f"{subject} is a trained network, which has {what} of its own; leave out the ones given.")
        own = task_of(Path(subject), model.read(Path(subject))[0]) if values is None else None
        if own is None and driving is None:
            notes = (
                f"white noise of {length} steps, since what {subject} was trained on is not here, or is another now",
            )
        probed = Subject.load(subject, task=own, data=values, length=length, batch=batch, seed=seed)
    else:
        probed = Subject.create(
            str(subject),
            units=units,
            depth=depth,
            inputs=inputs,
            outputs=outputs,
            task=None if task is None else tasks.get(task, **dict(task_options or {})),
            data=values,
            length=length,
            batch=batch,
            seed=seed,
            hyperparameters=hyperparameters,
        )
    measured = measure(name, probed, **options)
    if notes:
        measured = dataclasses.replace(measured, notes=notes)
    directory = Path(out) if out is not None else Path("probes") / probed.name.replace(":", "_")
    return probe_report.build(measured, directory)


def _driving(
    data: "np.ndarray | str | Path | None", text: str | None, length: int, reading: dict[str, str]
) -> Driving | None:
    """The sequences of a file, a text, or an array, with what they were taken for; None where there
    are none."""
    known = ["encoding"] if text is not None else ["encoding", "time", "series", "decimal"]
    wrong = next((key for key in reading if key not in known), None)
    if wrong is not None or (reading and not isinstance(data, str | Path)):
        what = "a text" if text is not None else "a file"
        raise CapaxError(
            f"{wrong or next(iter(reading))} is no way to read {what}; it is {', '.join(known)} of a file in data."
        )
    if text is not None:
        if isinstance(data, np.ndarray):
            raise CapaxError("text is read from a file: data must be a path, or left out.")
        return probe_text.sequences(text, None if data is None else Path(data), length, **reading)
    if isinstance(data, str | Path):
        return probe_data.read(Path(data), length, **reading)
    return None if data is None else Driving(data)


P = ParamSpec("P")
Measured = TypeVar("Measured")
Presented = TypeVar("Presented")


def _presented(measure: Callable[P, Measured], present: Callable[[Measured], Presented]) -> Callable[P, Presented]:
    """A measurement with its figures: called as the measurement is."""

    @functools.wraps(measure)
    def call(*args: P.args, **kwargs: P.kwargs) -> Presented:
        return present(measure(*args, **kwargs))

    return call


cost = _presented(measuring_costs.cost, CostReport)


def complexity(
    cell: str,
    *,
    layers: Sequence[int],
    units: Sequence[int],
    length: int,
    inputs: int = 1,
    outputs: int = 1,
    activation: str | None = None,
    runs: Sequence[str | Path] = (),
) -> ComplexityReport:
    """A grid of networks of a cell: weights, what is proven of them, bits, operations.

    **Arguments:** as of `measuring.complexity.complexity`; `runs`: run directories with the
    capacity task, for measured bits of networks within the sizes that were run.

    Raises `CapaxError` for sizes below 1, an unknown cell or activation, a directory without a run.
    """
    grid = measuring_complexity.complexity(
        cell, layers=layers, units=units, length=length, inputs=inputs, outputs=outputs, activation=activation
    )
    return complexity_report(grid, runs)
