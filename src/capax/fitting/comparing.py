"""All contenders on the evaluation part, once the networks are trained: scores, verdict, and the
model that is kept.
"""

import dataclasses
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from capax.errors import CapaxError
from capax.experiments import results
from capax.files import write_atomically
from capax.fitting import kinds, verdict
from capax.fitting.contract import Fitting
from capax.fitting.outcome import Contender, Outcome, ScoreColumn, ends
from capax.scoring import Estimate
from capax.tasks.from_file import FromFile
from capax.training import model

MODEL = "model.safetensors"


@dataclasses.dataclass(frozen=True)
class _Network:
    """A study's best network: its row of the results, and its file."""

    row: dict[str, Any]
    path: Path


def compare(
    job: str, task: FromFile[Any], directory: Path, notes: Sequence[str], say: Callable[[str], None]
) -> Outcome:
    """Score all contenders, write their answers and `scores.csv`, and keep the best network as
    `model.safetensors`.

    Raises `CapaxError` where every trial of every network diverged.
    """
    compared = kinds.fitting(job, task)
    networks, winner = _networks(directory)
    answers = {name: compared.answers(model.load(network.path).network) for name, network in networks.items()}
    for name, found in compared.baselines():
        say(f"without a network: {name}")
        answers[name] = found
    scores = {name: compared.scores(found) for name, found in answers.items()}
    differences = {
        name: compared.difference(found, answers[winner]) for name, found in answers.items() if name != winner
    }
    contenders = tuple(
        _contender(name, networks.get(name), scores[name], differences.get(name), number)
        for number, name in enumerate(answers)
    )
    for each in contenders:
        _save(directory / each.answers, compared.examples(answers[each.name]))
    further = compared.further(model.load(networks[winner].path).network)
    for name, each in further.items():
        _save(directory / f"answers/{name}.parquet", each)
    table = tuple({"name": each.name, "kind": each.kind, "scores": each.scores} for each in contenders)
    model.describe(networks[winner].path, directory / MODEL, table)
    outcome = Outcome(
        job=job,
        data=Path(task.path).name,
        notes=tuple(notes),
        verdict=_verdict(compared, winner, scores, differences, set(networks)),
        left_out=tuple(compared.notes),
        columns=tuple(ScoreColumn(score.name, score.less_is_better) for score in compared.columns),
        contenders=contenders,
        chosen=winner,
        further=tuple(further),
        seconds=0.0,
    )
    write_atomically(directory / "scores.csv", frame(outcome).to_csv(index=False))
    return outcome


def _networks(directory: Path) -> tuple[dict[str, _Network], str]:
    """The best network of each study, and the name of the one with the best validation score."""
    store, record = results.read(directory)
    table = results.studies(store, record)
    rows = [row for row in table.to_dict("records") if "selection" in row and row["selection"] == row["selection"]]
    if not rows:
        raise CapaxError(
            f"{directory}: every trial diverged, so there is no network; look at {directory / 'report.html'} for why, or "
            "try other cells."
        )
    found = {_name(row): _Network(row, store.model(row["study"])) for row in rows}
    sign = 1 if record.studies[0].direction == "minimise" else -1
    return found, min(found, key=lambda name: sign * found[name].row["selection"])


def _name(row: dict[str, Any]) -> str:
    layers = "" if row["depth"] == 1 else f", {row['depth']} layers"
    return f"{row['cell']}{layers}"


def _contender(
    name: str, network: _Network | None, scores: dict[str, Estimate], behind: Estimate | None, number: int
) -> Contender:
    found = Contender(
        name=name,
        kind="baseline",
        scores={score: ends(estimate) for score, estimate in scores.items()},
        answers=f"answers/{number}.parquet",
        behind=None if behind is None else ends(behind),
    )
    if network is None:
        return found
    of_row = {key: network.row[key] for key in ("cell", "study", "depth", "units", "parameters", "selection")}
    return dataclasses.replace(found, kind="network", **of_row)


def _verdict(
    compared: Fitting[Any, Any],
    winner: str,
    scores: dict[str, dict[str, Estimate]],
    differences: dict[str, Estimate],
    networks: set[str],
) -> tuple[str, ...]:
    first = compared.columns[0]
    without = verdict.best({name: found for name, found in scores.items() if name not in networks}, first)
    rival = None if without is None else (without, scores[without][first.name])
    behind = None if without is None else differences[without]
    return verdict.sentences(first, (winner, scores[winner][first.name]), rival, behind, compared.resampled)


def _save(path: Path, table: pd.DataFrame) -> None:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    write_atomically(path, buffer.getvalue())


def frame(outcome: Outcome) -> pd.DataFrame:
    """The table of scores: one row a contender, each score with the ends of its interval."""
    rows = []
    for each in outcome.contenders:
        row: dict[str, Any] = {"name": each.name, "kind": each.kind, "parameters": each.parameters or None}
        for column in outcome.columns:
            value, low, high = each.scores.get(column.name, (None, None, None))
            row |= {column.name: value, f"{column.name}, low": low, f"{column.name}, high": high}
        rows.append(row)
    return pd.DataFrame(rows)
