"""What scripts call and the command line calls, too: one function from an experiment to its report."""

from pathlib import Path
from typing import Any

from capax.errors import CapaxError
from capax.experiments.design import load
from capax.experiments.plan import plan
from capax.experiments.progress import Display
from capax.experiments.runner import execute
from capax.report import Report, build
from capax.training import backend

ENGINES = ("local",)


def run(
    experiment: str,
    out: str | Path | None = None,
    *,
    engine: str = "local",
    display: Display | None = None,
    **settings: Any,
) -> Report:
    """Run an experiment, or go on with it, to its end; the same call on the same directory resumes.

    **Arguments:**

    - `experiment`: a name (`capax list experiments`) or a TOML file.
    - `out`: the run directory, by default `runs/NAME`.
    - `engine`: where populations run; "local" is this process.
    - `display`: told of the progress.
    - `settings`: keys of the experiment to replace, such as `cells=["rnn"]`, `budgets=[1000]`, `trials=64`.

    **Returns:** a report with `.frame` (one row a study), `.trials`, `.figures` (matplotlib), and `.path` (report.html).

    Raises `CapaxError` for bad input, before anything is written.
    """
    if engine not in ENGINES:
        raise CapaxError(f"unknown engine '{engine}'; choose of {', '.join(ENGINES)}.")
    backend.configure()
    from capax.engines.local import LocalEngine

    chosen = plan(load(experiment, settings))
    directory = Path(out) if out is not None else Path("runs") / chosen.experiment.name
    execute(chosen, directory, LocalEngine, display)
    return build(directory)
