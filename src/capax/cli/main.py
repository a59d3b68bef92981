"""The commands. JAX and all that needs it are imported inside them: `capax --help` must be
quick.
"""

import contextlib
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from capax import user_code
from capax.cli import signals
from capax.errors import CapaxError, CapaxWarning, UserCodeError
from capax.training import backend

app = typer.Typer(
    name="capax",
    help="A measuring bench for recurrent sequence models: what a cell can hold, how hard it is to train, what it costs.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# Typer carries its own copy of click and exports only some of its exceptions: this is the base of
# them all.
_ClickException: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

Json = Annotated[
    bool,
    typer.Option(
        "--json", help="One JSON object on standard output, nothing else there; an error is one on standard error."
    ),
]


SET_HELP = (
    "A key of the experiment, such as --set trials=8 --set cells=gru,lstm --set budgets=1000; of a task TASK.OPTION, such as "
    "--set text.path=my.txt; may be repeated. Keys: cells, tasks, depths, budgets, units, trials, steps, sampler, tune, "
    "batch, searches, reruns, stopping, checkpoint_every, seed, hyperparameters.NAME, network.KEY, workers.KEY."
)

_SHOW_WARNING = warnings.showwarning


def main() -> NoReturn:
    """The entry point: a `CapaxError` is one line on standard error and exit code 2; an interrupt
    is no error of ours.
    """
    warnings.showwarning = _show_warning
    signals.handle()
    backend.configure()
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="capax", standalone_mode=False)
        sys.stdout.flush()  # here, where a full disk can be said
        if code == signals.INTERRUPTED:  # Typer turns a KeyboardInterrupt into this exit code
            _interrupted()
        sys.exit(code if isinstance(code, int) else 0)
    except CapaxError as error:
        _fail(error)
    except _ClickException as error:
        _fail(CapaxError(" ".join(error.format_message().split()) + _hint(error)))
    except (typer.Abort, KeyboardInterrupt):
        _interrupted()
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to print would fail again at the end
        _fail(CapaxError(f"{error.filename or 'standard output'}: {error.strerror or error}."))
    except Exception as error:
        told = user_code.explained(f"the command {' '.join(sys.argv[1:2])}", error)
        if not isinstance(told, CapaxError):
            raise
        _fail(told)


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    if issubclass(category, CapaxWarning):
        print(f"capax: warning: {message}", file=sys.stderr)
    else:
        _SHOW_WARNING(message, category, *where, **more)


def _interrupted() -> NoReturn:
    with contextlib.suppress(OSError):  # the terminal may be closed
        print("capax: interrupted; what was done is kept, and the same command goes on from there.", file=sys.stderr)
    sys.exit(signals.exit_code())


def _fail(error: CapaxError) -> NoReturn:
    of_the_user = error.user_traceback if isinstance(error, UserCodeError) else ""
    if "--json" in sys.argv:
        print(json.dumps({"error": str(error), **({"traceback": of_the_user} if of_the_user else {})}), file=sys.stderr)
    else:
        print(f"{of_the_user}capax: {error}", file=sys.stderr)
    sys.exit(2)


def _hint(error: Any) -> str:
    """For an unknown option that is a key of the experiment: how to set it."""
    key = str(getattr(error, "option_name", "")).lstrip("-").replace("-", "_")
    if not key or sys.argv[1:2] != ["run"]:
        return ""
    from capax.experiments.design import Experiment

    if key not in Experiment.model_fields:
        return ""
    return (
        f" A key of the experiment is set with --set, such as --set {key}={_value_of(str(error.option_name)) or '..'}"
    )


def _value_of(option: str) -> str:
    """What stands behind an option on the command line, or behind its =."""
    for word, following in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        if word.partition("=")[0] == option:
            return word.partition("=")[2] or ("" if following.startswith("-") else following)
    return ""


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from capax.version import __version__

        print(__version__)
        raise typer.Exit


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="A name (see: capax list experiments) or a TOML file.")],
    out: Annotated[Path | None, typer.Option(help="The run directory; by default runs/NAME.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help=SET_HELP)] = None,
    engine: Annotated[
        str, typer.Option(help="Where trials are trained: local, ray, or another that is installed.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster that is there already: auto, or HOST:PORT.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            help="The URL of a database for the trials, such as postgresql+psycopg://USER@HOST/DATABASE; kept for the "
            "next time, but for a password (PGPASSWORD)."
        ),
    ] = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(help="A program to be told of each trial: tensorboard, mlflow (extras); may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run an experiment, or go on with it; ends with the table and the path of report.html."""
    from capax.api.running import run as run_experiment
    from capax.cli import display
    from capax.experiments.design import parse_setting

    settings = dict(parse_setting(text) for text in set_ or [])
    with display.choose(quiet=as_json) as shown:
        report = run_experiment(
            experiment, out, engine=engine, address=address, store=store, sinks=sink or (), display=shown, **settings
        )
    from capax.cli import output  # what a report needs, which a run does not wait for

    output.results(report, as_json)


Place = Annotated[str, typer.Argument(help="A run directory, or the URL of a database (URL#RUN: a run in it).")]
RunName = Annotated[str | None, typer.Option(help="A run of a database, by its name or id.")]


@app.command()
def status(
    place: Place,
    run: RunName = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until it is done.")] = False,
    as_json: Json = False,
) -> None:
    """What has been done in a run directory, whether it is running or not; or the runs of a
    database."""
    from capax.cli import status as shown

    (shown.watch if watch else shown.once)(place, as_json, run)


@app.command()
def serve(
    place: Place,
    run: RunName = None,
    host: Annotated[str, typer.Option(help="Where to listen; any other than this machine's own needs the token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="0: one that is free.")] = 0,
    token: Annotated[
        str | None, typer.Option(envvar="CAPAX_TOKEN", help="Who looks must have it; made where it is needed.")
    ] = None,
) -> None:
    """A live view of a run in the browser, until Ctrl-C; needs the extra `serve`."""
    from capax.serving.serve import serve as show_in_browser

    show_in_browser(place, host, port, token, run)


@app.command()
def report(directory: Annotated[Path, typer.Argument(help="A run directory.")], as_json: Json = False) -> None:
    """Rebuild tables, figures, and report.html of a run directory, finished or not."""
    from capax.cli import output
    from capax.report import build

    output.results(build(directory), as_json)


Data = Annotated[Path, typer.Argument(help="CSV, TSV, Parquet, .npy, .npz, CoNLL-U, or plain text.")]
ModelFile = Annotated[Path, typer.Argument(help="A model file (.safetensors), or the directory of a fit.")]


@app.command()
def fit(
    data: Data,
    job: Annotated[
        str | None,
        typer.Option(help="forecast, classify, label, translate, or language; found out where it is not said."),
    ] = None,
    target: Annotated[list[str] | None, typer.Option(help="The column to predict; may be repeated.")] = None,
    time: Annotated[str | None, typer.Option(help="The column of time stamps, or none.")] = None,
    series: Annotated[str | None, typer.Option(help="The column that tells series apart, or none.")] = None,
    covariates: Annotated[
        list[str] | None, typer.Option(help="A column known until the forecast is made; may be repeated.")
    ] = None,
    future: Annotated[
        list[str] | None, typer.Option(help="A column known ahead, as a calendar is; may be repeated.")
    ] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps to forecast.")] = None,
    cells: Annotated[str, typer.Option(help="Cells to compare, with commas between.")] = "gru,lstm",
    depth: Annotated[int, typer.Option(help="Layers.")] = 1,
    budget: Annotated[int | None, typer.Option(help="The most parameters of a network.")] = None,
    trials: Annotated[int | None, typer.Option(help="Trials of each cell.")] = None,
    minutes: Annotated[float | None, typer.Option(help="In which training is to end; by default 3.")] = None,
    steps: Annotated[int | None, typer.Option(help="In place of minutes: training steps of a trial.")] = None,
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
    encoding: Annotated[str | None, typer.Option(help="Such as cp1252, where it is not UTF-8.")] = None,
    decimal: Annotated[str | None, typer.Option(help="The decimal mark: . or ,")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A further option of the job's task, key=value; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The directory; by default runs/NAME of the file.")] = None,
    as_json: Json = False,
) -> None:
    """From a file of your own to a compared, tuned, saved model and its report; the same command
    goes on with it.
    """
    from capax.api.fitting import fit as fit_file
    from capax.cli import display, own

    options = {"time": time, "series": series, "covariates": covariates, "future": future, "horizon": horizon}
    options |= {"encoding": encoding, "decimal": decimal, **own.further(set_ or [])}
    with display.choose(quiet=as_json) as shown:
        found = fit_file(
            data,
            job=job,
            target=target,
            out=out,
            cells=cells.split(","),
            depth=depth,
            budget=budget,
            trials=trials,
            minutes=minutes,
            steps=steps,
            seed=seed,
            display=shown,
            **options,
        )
    own.fitted(found, as_json)


@app.command()
def predict(
    model: ModelFile,
    data: Data,
    out: Annotated[
        Path | None, typer.Option(help="CSV, TSV, or Parquet by its name; by default standard output.")
    ] = None,
    horizon: Annotated[int | None, typer.Option(help="Of forecasts: steps ahead, at most those trained.")] = None,
    quantiles: Annotated[str | None, typer.Option(help="Of forecasts: levels such as .1,.5,.9.")] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Of labels: those of all labels.")] = False,
    beam: Annotated[int | None, typer.Option(help="Of translations: how many are followed at once.")] = None,
    best: Annotated[int | None, typer.Option(help="Of translations: how many of the best are given.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Such as cp1252, where it is not UTF-8.")] = None,
    decimal: Annotated[str | None, typer.Option(help="The decimal mark: . or ,")] = None,
    as_json: Json = False,
) -> None:
    """Predictions of a model for new data, beside the data's own columns."""
    from capax.cli import own
    from capax.fitting.loaded import load

    options = {
        "horizon": horizon,
        "quantiles": own.numbers("--quantiles", quantiles),
        "probabilities": probabilities or None,
        "beam": beam,
        "best": best,
        "encoding": encoding,
        "decimal": decimal,
    }
    found = load(model).predict(data, **{key: value for key, value in options.items() if value is not None})
    own.table(found, out, as_json)


@app.command()
def generate(
    model: ModelFile,
    prompt: Annotated[str, typer.Option(help="What the text begins with.")] = "",
    length: Annotated[int, typer.Option(help="Symbols.")] = 300,
    temperature: Annotated[float, typer.Option(help="Below 1 safer, above 1 bolder; 0: always the likeliest.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Only of the so many likeliest symbols.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Only of the likeliest symbols that have this probability.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
) -> None:
    """Text of a language model, as it comes, on standard output."""
    from capax.fitting.loaded import load

    options = {"length": length, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    sys.stdout.write(prompt)
    for symbol in load(model).generate(prompt, **{key: value for key, value in options.items() if value is not None}):
        sys.stdout.write(symbol)
        sys.stdout.flush()
    sys.stdout.write("\n")


@app.command()
def export(
    model: ModelFile,
    to: Annotated[str, typer.Option(help="onnx, torch, or safetensors.")],
    out: Annotated[Path | None, typer.Option(help="The file; by default beside the model.")] = None,
    as_json: Json = False,
) -> None:
    """A model for another program, checked where that program's runtime is installed."""
    from capax.api.exporting import export as export_model

    checked = export_model(model, to, out)
    files = [str(each.file) for each in checked]
    lines = [line for each in checked for line in (f"written: {each.file}", str(each))]
    _print({"files": files, "checks": [str(each) for each in checked]}, as_json, lines)


@app.command()
def show(model: ModelFile, as_json: Json = False) -> None:
    """What a model is: its network, what it was fitted to, its scores, and how it was made."""
    from capax.cli import own
    from capax.fitting.loaded import load

    own.shown(model, load(model), as_json)


@app.command()
def probe(
    name: Annotated[
        str,
        typer.Argument(help="A probe (see: capax list probes); landscape, curvature, and adam need a task."),
    ],
    subject: Annotated[
        str, typer.Argument(help="A cell's name, module.path:Class, or a trained network (.safetensors) of a run.")
    ],
    units: Annotated[int, typer.Option(help="Units per layer of a fresh network.")] = 64,
    depth: Annotated[int, typer.Option(help="Layers of a fresh network.")] = 1,
    inputs: Annotated[int, typer.Option(help="Features of white noise, where neither task nor data drive it.")] = 1,
    task: Annotated[str | None, typer.Option(help="The task that drives it and whose loss is measured.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Sequences that drive it: CSV, TSV, Parquet, .npy, .npz; or a text with --text.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="The column of time stamps in --data, or none.")] = None,
    series: Annotated[str | None, typer.Option(help="The column that tells series in --data apart, or none.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of --data, such as cp1252, where it is not UTF-8.")] = None,
    decimal: Annotated[str | None, typer.Option(help="The decimal mark in --data: . or ,")] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help="letters, characters, words, or tokens (embedded): of the text in --data, or of Python's help texts."
        ),
    ] = None,
    length: Annotated[int, typer.Option(help="Steps of white noise, or of windows of a long series.")] = 300,
    batch: Annotated[int, typer.Option(help="Sequences.")] = 64,
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="An option of the probe, key=value; TASK.key=value; hyperparameters.key=value."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where figure and numbers go; by default probes/SUBJECT.")] = None,
    as_json: Json = False,
) -> None:
    """One measurement on a network, random or trained: its numbers, and a figure."""
    from capax.probes import names

    names.check(name)
    names.check_task(name, task is not None or subject.endswith(".safetensors"))
    from capax.api.probing import probe as run_probe
    from capax.cli import output

    options, of_task, hyperparameters = output.probe_settings(set_ or [], task)
    reading = {"time": time, "series": series, "encoding": encoding, "decimal": decimal}
    found = run_probe(
        name,
        subject,
        out,
        units=units,
        depth=depth,
        inputs=inputs,
        task=task,
        task_options=of_task,
        data=data,
        text=text,
        reading={key: value for key, value in reading.items() if value is not None},
        length=length,
        batch=batch,
        seed=seed,
        hyperparameters=hyperparameters,
        **options,
    )
    output.measurement(found, as_json)


@app.command()
def bounds(
    cell: Annotated[str, typer.Argument(help="A cell's name, or module.path:Class.")],
    layers: Annotated[str, typer.Option(help="Layers, such as 1,2,4.")] = "1,2,4",
    units: Annotated[str, typer.Option(help="Units per layer, such as 16,32,64.")] = "16,32,64",
    length: Annotated[int, typer.Option(help="Time steps of the input.")] = 100,
    inputs: Annotated[int, typer.Option(help="Input features.")] = 1,
    outputs: Annotated[int, typer.Option(help="Output features.")] = 1,
    activation: Annotated[
        str | None, typer.Option(help="For the bounds: tanh, relu, threshold, polynomial; by default the cell's.")
    ] = None,
    runs: Annotated[
        list[Path] | None, typer.Option(help="A run with the capacity task, for measured bits; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write figure (.svg, .png) and table (.csv) there.")] = None,
    as_json: Json = False,
) -> None:
    """What layers and units do to a network's complexity: what is proven, what is an order, what is
    measured.
    """
    from capax.api.costing import complexity
    from capax.cli import costs, output

    found = complexity(
        cell,
        layers=output.whole_numbers("--layers", layers),
        units=output.whole_numbers("--units", units),
        length=length,
        inputs=inputs,
        outputs=outputs,
        activation=activation,
        runs=runs or [],
    )
    costs.complexity(found, out, as_json)


@app.command()
def cost(
    cells: Annotated[list[str], typer.Argument(help="Cells by name, or module.path:Class; several are compared.")],
    units: Annotated[int | None, typer.Option(help="Units per layer.")] = None,
    budget: Annotated[int | None, typer.Option(help="In place of units: the most parameters.")] = None,
    depth: Annotated[int, typer.Option(help="Layers.")] = 1,
    inputs: Annotated[int, typer.Option(help="Input features.")] = 1,
    outputs: Annotated[int, typer.Option(help="Output features.")] = 1,
    length: Annotated[int, typer.Option(help="Time steps of a sequence.")] = 512,
    batch: Annotated[int, typer.Option(help="Sequences at the same time.")] = 1,
    device: Annotated[
        str, typer.Option(help="Whose rates estimate the time: here (measured now), a100, h100, h200.")
    ] = "here",
    precision: Annotated[str, typer.Option(help="Of a named device's peak: fp32, tf32, fp16, bf16.")] = "fp32",
    checkpoint_every: Annotated[
        str | None, typer.Option(help="Measure training with checkpoints at each so many steps, such as 10,50,200.")
    ] = None,
    measure: Annotated[bool, typer.Option(help="Run the networks, too.")] = True,
    out: Annotated[Path | None, typer.Option(help="Where figures and tables go; by default costs/.")] = None,
    as_json: Json = False,
) -> None:
    """What networks cost: parameters, operations, bytes, time by roofline and as measured, and
    where one gets dearer than another.
    """
    from capax.api.costing import cost as cost_of
    from capax.cli import costs, output

    found = cost_of(
        cells,
        units=units,
        budget=budget,
        depth=depth,
        inputs=inputs,
        outputs=outputs,
        length=length,
        batch=batch,
        device=device,
        precision=precision,
        checkpoint_every=[]
        if checkpoint_every is None
        else output.whole_numbers("--checkpoint-every", checkpoint_every),
        measure=measure,
    )
    costs.costs(found, out or Path("costs"), as_json)


@app.command()
def check(
    subject: Annotated[
        str, typer.Argument(help="A cell or a task of your own, module.path:Class, or a built-in one's name.")
    ],
    as_json: Json = False,
) -> None:
    """What is wrong with a cell or a task, one line a check; exit code 2 where something is."""
    import dataclasses

    from capax.testing import examine

    found = examine(subject)
    answer = {
        "name": found.name,
        "kind": found.kind,
        "passed": found.passed,
        "checks": [dataclasses.asdict(finding) for finding in found.findings],
    }
    wide = max(len(finding.name) for finding in found.findings)
    lines = [
        f"{finding.user_traceback}{'passed' if finding.passed else 'FAULT '}  {finding.name:<{wide}}  {finding.message}"
        for finding in found.findings
    ]
    _print(answer, as_json, [line.rstrip() for line in lines])
    if not found.passed:
        raise typer.Exit(2)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="cells, tasks, experiments, probes, or hyperparameters")],
    cell: Annotated[str | None, typer.Argument(help="With hyperparameters: of this cell.")] = None,
    task: Annotated[str | None, typer.Argument(help="With hyperparameters: on this task.")] = None,
    as_json: Json = False,
) -> None:
    """What there is, one line each; of hyperparameters a table, or all that is declared as a list
    of JSON objects.
    """
    if what == "hyperparameters":
        from capax.cli import output

        output.hyperparameters(cell, task, as_json)
        return
    if cell is not None:
        raise CapaxError(
            f"capax list {what} takes no further words; only hyperparameters are those of a cell and a task."
        )
    from capax.cli import terminal
    from capax.cli.inventory import inventory

    found = inventory(what)
    _print(found, as_json, terminal.definitions(found, terminal.output().width))


@app.command()
def size(
    cell: Annotated[str, typer.Argument(help="A cell's name, or module.path:Class.")],
    budget: Annotated[int, typer.Option(help="The most parameters.")],
    inputs: Annotated[int, typer.Option(help="Input features.")] = 1,
    outputs: Annotated[int, typer.Option(help="Output features.")] = 1,
    depth: Annotated[int, typer.Option(help="Layers.")] = 1,
    as_json: Json = False,
) -> None:
    """The largest network of a cell within a parameter budget: units per layer, and the exact
    number of parameters.
    """
    import dataclasses

    from capax.networks.sizing import size as size_network

    found = size_network(cell, budget=budget, inputs=inputs, outputs=outputs, depth=depth)
    layers = "1 layer" if depth == 1 else f"{depth} layers"
    line = f"{found.cell}, {layers} of {found.units} units: {found.parameters} parameters of a budget of {found.budget}"
    _print(dataclasses.asdict(found), as_json, [line])


def _print(answer: Any, as_json: bool, lines: list[str]) -> None:
    print(json.dumps(answer) if as_json else "\n".join(lines))
