"""From an experiment to its report."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capax import cells
from capax.experiments.design import load
from capax.experiments.plan import plan
from capax.experiments.progress import Display
from capax.experiments.runner import execute
from capax.sinks import sink
from capax.training import backend
from capax.training import engine as engines

if TYPE_CHECKING:
    from capax.report import Report


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
) -> "Report":
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
    chosen = plan(load(experiment, {key: named(key, value) for key, value in settings.items()}))
    directory = Path(out) if out is not None else Path("runs") / chosen.experiment.name
    execute(chosen, directory, lambda: found.begin(chosen.experiment.workers, address), display, store, told)
    from capax.report import build  # once the run has ended: it takes a second

    return build(directory, store)


def named(key: str, value: Any) -> Any:
    """A setting's value with classes of cells replaced by their names."""
    if key.rpartition(".")[2] != "cells":
        return value
    return [cells.name_of(cell) for cell in (value if isinstance(value, list | tuple) else [value])]
