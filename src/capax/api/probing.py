"""From a network to one measurement and its figure."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from capax import tasks
from capax.errors import CapaxError
from capax.experiments.models import task_of
from capax.probes import Subject
from capax.probes import data as probe_data
from capax.probes import probe as measure
from capax.probes import text as probe_text
from capax.probes.data import Driving
from capax.report import probe_report
from capax.training import backend, model


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
