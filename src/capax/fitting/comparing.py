"""All contenders on the evaluation part, once the networks are trained: scores, verdict, and the
model that is kept.
"""

import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from capax.errors import CapaxError
from capax.experiments import results
from capax.files import write_atomically
from capax.fitting import choosing, kinds, verdict
from capax.fitting.contract import Fitting
from capax.fitting.outcome import Contender, Outcome, ScoreColumn, ends
from capax.networks.assembling import AnyNetwork
from capax.scoring import Estimate
from capax.tasks.from_file import FromFile
from capax.training import model

MODEL = "model.safetensors"


@dataclasses.dataclass(frozen=True)
class _Network:
    """A study's best network: its row of the results, and its file."""

    row: dict[str, Any]
    path: Path

    @property
    def label(self) -> str:
        """That of its task."""
        return str(self.row["task"])

    def load(self) -> AnyNetwork:
        return model.load(self.path).network


def compare(
    job: str, tasks: Mapping[str, FromFile[Any]], directory: Path, notes: Sequence[str], say: Callable[[str], None]
) -> Outcome:
    """Score all contenders, write their answers and `scores.csv`, and keep the best network as
    `model.safetensors`.

    **Arguments:** `tasks` by the labels of studies: the same data, and what networks are told of
    them may differ.

    Raises `CapaxError` where every trial of every network diverged.
    """
    fittings = {label: kinds.fitting(job, task) for label, task in tasks.items()}
    compared, task = next(iter(fittings.values())), next(iter(tasks.values()))
    networks, sign = _networks(tasks, directory)
    trained = {name: network.load() for name, network in networks.items()}
    of_networks = {name: fittings[network.label] for name, network in networks.items()}
    selection = {name: sign * float(network.row["selection"]) for name, network in networks.items()}
    winner, why = choosing.choose(trained, of_networks, selection)
    if why is not None:
        notes = (*notes, why)
        say(why)
    answers = {name: of_networks[name].answers(network) for name, network in trained.items()}
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
    further = of_networks[winner].further(trained[winner])
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
        columns=tuple(ScoreColumn(score.name, score.less_is_better, score.unit) for score in compared.columns),
        contenders=contenders,
        chosen=winner,
        further=tuple(further),
        seconds=0.0,
    )
    write_atomically(directory / "scores.csv", frame(outcome).to_csv(index=False))
    return outcome


def _networks(tasks: Mapping[str, FromFile[Any]], directory: Path) -> tuple[dict[str, _Network], int]:
    """The best network of each study; and 1 where less is better of its validation score, else
    -1."""
    store, record = results.read(directory)
    table = results.studies(store, record)
    rows = [row for row in table.to_dict("records") if "selection" in row and row["selection"] == row["selection"]]
    if not rows:
        raise CapaxError(
            f"{directory}: every trial diverged, so there is no network; look at {directory / 'report.html'} for why, or "
            "try other cells."
        )
    found = {_name(tasks[row["task"]], row): _Network(row, store.model(row["study"])) for row in rows}
    sign = 1 if record.studies[0].direction == "minimise" else -1
    return found, sign


def _name(task: FromFile[Any], row: dict[str, Any]) -> str:
    layers = "" if row["depth"] == 1 else f", {row['depth']} layers"
    return f"{row['cell']}{task.network_adds}{layers}"


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
