"""The commands for a user's own sequences: fit, predict, generate, export, show."""

import datetime
import inspect
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import rich.table
from rich.text import Text

from capax.api.fitting import Fitted, fit
from capax.cli import terminal
from capax.errors import CapaxError, counted
from capax.experiments.design import parse_setting
from capax.files import write_atomically
from capax.fitting.contract import ANSWERS
from capax.fitting.loaded import LoadedModel
from capax.report.fit_section import FitSection

MOST_NAMED = 12
"""So many labels or columns of a model are shown."""
PARQUET = (".parquet", ".pq")


def fitted(found: Fitted, as_json: bool) -> None:
    """The end of a fit: the verdict, the scores, and where model and report are."""
    if as_json:
        print(json.dumps(answer(found)))
        return
    console = terminal.output()
    section = FitSection(found.outcome, found.directory, [])
    for sentence in found.outcome.verdict:
        console.print(sentence, highlight=False, markup=False)
    console.print()
    table = rich.table.Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, header in enumerate(section.headers):
        table.add_column(header, justify="left" if number == 0 else "right", vertical="bottom")
    for network, cells in section.rows:
        table.add_row(*map(Text, cells), style="" if network else "dim")
    console.print(table)
    terminal.say(console, section.notes)
    print(f"model: {found.directory / 'model.safetensors'}\nreport: {found.report}")


def answer(found: Fitted) -> dict[str, Any]:
    """A fit for scripts."""
    outcome = found.outcome
    return {
        "directory": str(found.directory),
        "model": str(found.directory / "model.safetensors"),
        "report": str(found.report),
        "job": outcome.job,
        "notes": list(outcome.notes),
        "verdict": list(outcome.verdict),
        "chosen": outcome.chosen,
        "scores": [
            {"name": each.name, "kind": each.kind, "parameters": each.parameters or None, "scores": each.scores}
            for each in outcome.contenders
        ],
        "seconds": outcome.seconds,
    }


def table(frame: pd.DataFrame, out: Path | None, as_json: bool) -> None:
    """Predictions: into a file, CSV or Parquet by its name; else CSV or JSON on standard output."""
    written = _in_digits(frame)
    if out is None:
        sys.stdout.write(_json(written) if as_json else written.to_csv(index=False))
        return
    if out.suffix.lower() in PARQUET:
        import io

        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        write_atomically(out, buffer.getvalue())
    else:
        separator = "\t" if out.suffix.lower() == ".tsv" else ","
        write_atomically(out, written.to_csv(index=False, sep=separator))
    said = {"file": str(out), "rows": len(frame), "columns": list(map(str, frame))}
    print(json.dumps(said) if as_json else f"{counted(len(frame), 'row')}: {out}")


def _json(frame: pd.DataFrame) -> str:
    """A list of rows; what is missing, or not finite, is null."""
    known = frame.notna() & ~frame.isin([math.inf, -math.inf])
    rows = frame.astype(object).where(known, None).rename(columns=str).to_dict("records")
    return f"{json.dumps(rows, default=_as_json)}\n"


def _as_json(value: Any) -> Any:
    """What JSON has no word for: moments as ISO 8601 has them, all else as text."""
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


DIGITS = 7
"""Of a number in 32 bits."""


def _in_digits(frame: pd.DataFrame) -> pd.DataFrame:
    """With the digits that answers have; the data's own columns stay as they are."""
    answers = [name for name in frame.attrs.get(ANSWERS, []) if frame[name].dtype.kind == "f"]
    return frame.assign(**{name: [float(f"{value:.{DIGITS}g}") for value in frame[name]] for name in answers})


def further(settings: list[str]) -> dict[str, Any]:
    """Options of a job's task, of `--set key=value`. Raises `CapaxError` for those of the command
    itself.
    """
    found = dict(parse_setting(text) for text in settings)
    own = inspect.signature(fit).parameters
    for name in found:
        if name in own:
            raise CapaxError(f"--set {name}: this is an option of its own, --{name}.")
    return found


def numbers(option: str, text: str | None) -> list[float] | None:
    """Numbers with commas between. Raises `CapaxError` for anything else."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise CapaxError(f"{option} {text!r}: numbers with commas between are due, such as .1,.5,.9.") from None


def shown(path: Path, found: LoadedModel, as_json: bool) -> None:
    """What a model is: architecture, what it was fitted to, scores, how it was made."""
    facts = described(path, found)
    if as_json:
        print(json.dumps(facts, default=str))
        return
    console = terminal.output()
    for line in terminal.definitions({name: _words(value) for name, value in facts.items()}, console.width):
        print(line)
    if len(found.scores):
        print()
        console.print(found.scores.to_string(index=False, float_format=lambda value: f"{value:.4g}"), highlight=False)


def described(path: Path, found: LoadedModel) -> dict[str, Any]:
    """The facts of a model by name."""
    card = found.card
    kind = str(card.architecture) or "stack"
    made = {key: value for key, value in (card.preprocessing or {}).items() if not isinstance(value, dict | list)}
    return {
        "file": str(path),
        "job": found.job or f"task {card.task}",
        "network": f"{card.cell}, {kind}: {card.depth} x {counted(card.units, 'unit')}, {counted(card.inputs, 'input')}, "
        f"{counted(card.outputs, 'output')}",
        "parameters": sum(array.size for array in _arrays(found)),
        **answered(card.preprocessing or {}),
        "fitted to": ", ".join(
            f"{each.name} ({counted(each.size, 'byte')}, SHA-256 {each.sha256[:12]}..)" for each in card.contents
        )
        or "-",
        "preprocessing": made,
        "hyperparameters": card.hyperparameters,
        "training": f"{counted(card.steps, 'step')}, seed {card.seed}",
        "validation": card.validation,
        "evaluation": card.evaluation,
        "made with": card.versions,
    }


def answered(preparation: Mapping[str, Any]) -> dict[str, Any]:
    """What a model of own data answers, and of what: targets and covariates, labels, or the symbols
    of texts.
    """
    match preparation.get("job"):
        case "forecast":
            names = {"targets": "targets", "covariates": "past", "known ahead": "future"}
            return {name: preparation[key] for name, key in names.items()}
        case "classify" | "label":
            layout = preparation["layout"]
            return {
                "labels": preparation["labels"],
                "read from": [layout["text"]] if layout["text"] else layout["features"],
            }
        case "translate":
            return {name: _vocabulary(preparation[name]) for name in ("source", "target")}
        case "language":
            return {"vocabulary": _vocabulary(preparation)}
        case _:
            return {}


def _vocabulary(given: Mapping[str, Any]) -> dict[str, Any]:
    found = {"name": given.get("name"), "kind": given["kind"], "symbols": len(given["symbols"])}
    return {key: value for key, value in found.items() if value is not None}


def _arrays(found: LoadedModel) -> list[Any]:
    import equinox as eqx
    import jax

    from capax.networks.parts import trainable

    return jax.tree.leaves(eqx.filter(found.network, trainable(found.network)))


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(part)}" for key, part in value.items()) or "-"
    if isinstance(value, list):
        said = ", ".join(map(str, value[:MOST_NAMED])) + (", .." if len(value) > MOST_NAMED else "")
        return f"{len(value):,}: {said}" if len(value) > 1 else said or "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
