"""What the commands about theory and cost print: networks beside each other."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import rich.table
from rich.console import Console

from capax.cli import terminal
from capax.files import write_atomically
from capax.report import formatting
from capax.report.complexity import ComplexityReport
from capax.report.costs import CostReport
from capax.report.saving import save_figure


def complexity(found: ComplexityReport, out: Path | None, as_json: bool) -> None:
    """A grid of networks: a table and what it means; files where they are wanted."""
    if out is not None:
        save_figure(found.figure(), out / "bounds")
        write_atomically(out / "bounds.csv", found.frame.to_csv(index=False))
    rows = _records(found.frame)
    if as_json:
        print(json.dumps({"cell": found.cell, "rows": rows, "notes": found.notes}))
        return
    table = rich.table.Table(box=None, pad_edge=False)
    covered = bool(found.frame["covered"].all())
    shown = {
        "layers": "layers",
        "units": "units",
        "weights": "weights",
        "lower" if covered else "plain_lower": "lower" if covered else "(lower)",
        "upper" if covered else "plain_upper": "upper" if covered else "(upper)",
        "bits_by_rule": "by rule",
        "bits_measured": "measured",
        "operations_per_step": "FLOPs/step",
    }
    for header in shown.values():
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(_large(row[name]) for name in shown))
    console = terminal.output()
    console.print(table)
    terminal.say(console, found.notes)
    if out is not None:
        print(f"figure and table: {out}/bounds.png, .svg, .csv")


def costs(found: CostReport, out: Path, as_json: bool) -> None:
    """A table with a column a network; crossovers, checkpoints, notes; figures and tables as
    files.
    """
    save_figure(found.figure(), out / "cost")
    write_atomically(out / "cost.csv", found.frame.to_csv(index=False))
    write_atomically(out / "cost-against-length.csv", found.curves.to_csv(index=False))
    if found.checkpointing is not None:
        save_figure(found.checkpointing_figure(), out / "checkpointing")
        write_atomically(out / "checkpointing.csv", found.checkpointing.to_csv(index=False))
    rows, again = _records(found.frame), [] if found.checkpointing is None else _records(found.checkpointing)
    if as_json:
        answer = {
            "device": dataclasses.asdict(found.costs.device),
            "precision": found.costs.precision,
            "length": found.costs.length,
            "batch": found.costs.batch,
            "networks": rows,
            "crossovers": found.crossovers,
            "checkpointing": again,
            "notes": found.notes,
            "directory": str(out),
        }
        print(json.dumps(answer))
        return
    console = terminal.output()
    sequences = formatting.number(found.costs.batch, "sequence")
    _networks(console, rows, f"{found.costs.length:,} steps, {sequences}")
    for crossover in found.crossovers:
        what = {"flops": "fewer operations", "bytes": "fewer activation bytes", "seconds": "less time by roofline"}
        about = "about " if crossover["quantity"] == "seconds" else ""
        names = f"{crossover['cheaper_from_there']} takes {what[crossover['quantity']]} than {crossover['than']}"
        print(f"from {about}{crossover['length']:,} steps on: {names}")
    if again:
        table = rich.table.Table(box=None, pad_edge=False, title="checkpoints over time", title_justify="left")
        whole = {row["cell"] for row in rows if row["sequential_steps"] == 1 < found.costs.length}
        for header in ("cell", "checkpoint every", "memory", "of everything kept", "training step", "slowdown"):
            table.add_column(header, justify="left" if header == "cell" else "right", no_wrap=True)
        for row in again:
            named = {0: "everything kept", None: "default"}
            every = named.get(row["checkpoint_every"]) or f"{row['checkpoint_every']:g}"
            if row["cell"] in whole and row["checkpoint_every"]:
                every = "each layer"
            table.add_row(
                row["cell"], every, _bytes(row["peak_bytes"]), f"1 / {row['memory_saved']:.1f}", _seconds(row["seconds"]),
                f"{row['slowdown']:.2f}",
            )  # fmt: skip
        console.print(table)
    terminal.say(console, found.notes)
    print(f"figures and tables: {out}/cost.png, .svg, .csv" + (", checkpointing.png, .svg, .csv" if again else ""))


def _networks(console: Console, rows: list[dict[str, Any]], title: str) -> None:
    """A column a network, in as many tables as the terminal needs: what a row is stays whole in
    each.
    """
    shown = {
        key: (label, ["-" if row[key] is None else show(row[key]) for row in rows])
        for key, (label, show) in _COSTS.items()
        if any(row[key] is not None for row in rows)
    }
    first = max(len(label) for label, _ in shown.values())
    widths = [
        max(len(str(row["cell"])), *(len(texts[place]) for _, texts in shown.values())) + 2
        for place, row in enumerate(rows)
    ]
    begin = 0
    while begin < len(rows):
        end, used = begin + 1, first + widths[begin]
        while end < len(rows) and used + widths[end] <= console.width:
            used, end = used + widths[end], end + 1
        table = rich.table.Table(box=None, pad_edge=False, title=title, title_justify="left")
        table.add_column("", no_wrap=True)
        for row in rows[begin:end]:
            table.add_column(str(row["cell"]), justify="right", overflow="fold")
        for label, texts in shown.values():
            table.add_row(label, *texts[begin:end])
        console.print(table)
        begin = end


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with None for what is missing."""
    return [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _bytes(value: float | int) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1024
    raise AssertionError


def _seconds(value: float | int) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms" if value >= 1e-3 else f"{1e6 * value:.3g} us"


_COSTS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "units": ("units", "{:,}".format),
    "depth": ("layers", "{:,}".format),
    "parameters": ("parameters", "{:,}".format),
    "weight_bytes": ("weights", _bytes),
    "flops_per_step": ("FLOPs per step", "{:,.0f}".format),
    "flops_per_sequence": ("FLOPs per sequence", "{:.4g}".format),
    "flops_of_products": ("  products", "{:.4g}".format),
    "flops_elementwise": ("  elementwise", "{:.4g}".format),
    "flops_of_functions": ("  functions", "{:.4g}".format),
    "training_flops_per_sequence": ("FLOPs of its gradient", "{:.4g}".format),
    "state_bytes": ("state", _bytes),
    "activation_bytes": ("activations for the gradient", _bytes),
    "intensity": ("FLOPs per byte moved", "{:.3g}".format),
    "sequential_steps": ("steps one after the other", "{:,}".format),
    "seconds_estimated": ("time by roofline", _seconds),
    "seconds_measured": ("time measured", _seconds),
    "fraction_of_peak": ("  fraction of peak", "{:.1%}".format),
    "training_seconds_estimated": ("gradient by roofline", _seconds),
    "training_seconds_measured": ("gradient measured", _seconds),
    "training_peak_bytes": ("gradient's memory, measured", _bytes),
}


def _large(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) < 1e7 else f"{value:.1e}"
