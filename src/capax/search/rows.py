"""What of a run stands in Optuna's tables, read and written in a few statements.

Optuna's own storage reads and writes one hyperparameter at a time, each in a transaction of its
own. Here one transaction writes all that changed of a trial, and doing it twice is doing it once.
"""

import datetime
import functools
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Connection, Table, func, select

from capax.errors import CapaxError

Tables = Mapping[str, Table]
T = TypeVar("T")

INFINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}
"""How Optuna names numbers that a column may not hold."""


def find_study(connection: Connection, tables: Tables, name: str) -> int | None:
    """The number of a study, None where there is none of this name."""
    studies = tables["studies"]
    return connection.scalar(select(studies.c.study_id).where(studies.c.study_name == name))


def add_study(connection: Connection, tables: Tables, name: str, direction: StudyDirection) -> int:
    """A study's number; it is made where there is none."""
    found = find_study(connection, tables, name)
    if found is not None:
        return found
    key = connection.execute(tables["studies"].insert().values(study_name=name)).inserted_primary_key
    assert key is not None
    row = {"study_id": key[0], "objective": 0, "direction": direction.name}
    connection.execute(tables["study_directions"].insert().values(row))
    return key[0]


def studies_of(connection: Connection, tables: Tables, prefix: str) -> list[tuple[int, str, StudyDirection]]:
    """The studies whose names begin with `prefix`: number, name, direction, in the order in which
    they were made.
    """
    studies, directions = tables["studies"], tables["study_directions"]
    query = select(studies.c.study_id, studies.c.study_name, directions.c.direction).join(
        directions, directions.c.study_id == studies.c.study_id
    )
    query = query.where(studies.c.study_name.startswith(prefix, autoescape=True)).order_by(studies.c.study_id)
    return [(number, name, StudyDirection[direction]) for number, name, direction in connection.execute(query)]


def set_attribute(connection: Connection, tables: Tables, study: int, key: str, value: Any) -> None:
    """Keep an attribute of a study."""
    table = tables["study_user_attributes"]
    connection.execute(table.delete().where(table.c.study_id == study, table.c.key == key))
    connection.execute(table.insert().values(study_id=study, key=key, value_json=json.dumps(value)))


def attributes(connection: Connection, tables: Tables, key: str, study: int | None = None) -> dict[str, str]:
    """An attribute, as JSON, of all studies that have it by the study's name, or of one."""
    studies, table = tables["studies"], tables["study_user_attributes"]
    query = select(studies.c.study_name, table.c.value_json).join(studies, studies.c.study_id == table.c.study_id)
    query = query.where(table.c.key == key).order_by(studies.c.study_id)
    if study is not None:
        query = query.where(table.c.study_id == study)
    return {name: text for name, text in connection.execute(query)}


def states(connection: Connection, tables: Tables, prefix: str) -> dict[str, int]:
    """How many trials there are in each state in the studies whose names begin with `prefix`."""
    studies, trials = tables["studies"], tables["trials"]
    query = select(trials.c.state, func.count()).join(studies, studies.c.study_id == trials.c.study_id)
    query = query.where(studies.c.study_name.startswith(prefix, autoescape=True)).group_by(trials.c.state)
    return {_name(state): count for state, count in connection.execute(query)}


def signature(connection: Connection, tables: Tables, prefix: str) -> tuple[Any, ...]:
    """What differs where anything of these studies has changed."""
    studies, trials, notes = tables["studies"], tables["trials"], tables["trial_user_attributes"]
    ours = studies.c.study_name.startswith(prefix, autoescape=True)
    of_trials = select(trials.c.state, func.count()).join(studies, studies.c.study_id == trials.c.study_id)
    counts = connection.execute(of_trials.where(ours).group_by(trials.c.state)).all()
    joined = notes.join(trials, trials.c.trial_id == notes.c.trial_id).join(
        studies, studies.c.study_id == trials.c.study_id
    )
    last = connection.scalar(select(func.max(notes.c.trial_user_attribute_id)).select_from(joined).where(ours))
    return last, *sorted((_name(state), count) for state, count in counts)


def _name(state: Any) -> str:
    return getattr(state, "name", state)


def trials(connection: Connection, tables: Tables, study: int) -> list[FrozenTrial]:
    """The trials of a study by number. Raises `CapaxError` for what capax has not written."""
    table = tables["trials"]
    found = connection.execute(select(table).where(table.c.study_id == study).order_by(table.c.trial_id)).all()
    of = functools.partial(_by_trial, connection, tables, study)
    parameters, notes, values = of("trial_params"), of("trial_user_attributes"), of("trial_values")
    scores, system = of("trial_intermediate_values"), of("trial_system_attributes")
    read: list[FrozenTrial] = []
    for row in found:
        key = row.trial_id
        try:
            read.append(_trial(row, parameters[key], notes[key], values[key], scores[key], system[key]))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            said = " ".join(str(error).split())[:120]
            raise CapaxError(f"the database holds a trial that capax did not write (trial_id {key}: {said}).") from None
        if read[-1].number != len(read) - 1:
            raise CapaxError(f"the database holds trials that are not in order (trial_id {key}).")
    return read


def _by_trial(connection: Connection, tables: Tables, study: int, name: str) -> defaultdict[int, list[Any]]:
    table, trials = tables[name], tables["trials"]
    query = select(table).join(trials, trials.c.trial_id == table.c.trial_id).where(trials.c.study_id == study)
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for row in connection.execute(query.order_by(next(iter(table.primary_key)))):
        found[row.trial_id].append(row)
    return found


def _trial(
    row: Any,
    parameters: list[Any],
    notes: list[Any],
    values: list[Any],
    scores: list[Any],
    system: list[Any],
) -> FrozenTrial:
    kinds = {each.param_name: _distribution(each.distribution_json) for each in parameters}
    params = {each.param_name: kinds[each.param_name].to_external_repr(each.param_value) for each in parameters}
    found = create_trial(
        state=TrialState.WAITING,  # the rules of other states are checked by no one here
        params=params,
        distributions=kinds,
        user_attrs={note.key: json.loads(note.value_json) for note in notes},
        system_attrs={note.key: json.loads(note.value_json) for note in system},
        intermediate_values={s.step: _number(s.intermediate_value_type, s.intermediate_value) for s in scores},
    )
    found.number, found.state = row.number, TrialState[_name(row.state)]
    if values:
        found.values = [_number(value.value_type, value.value) for value in values]
    found.datetime_start, found.datetime_complete = _local(row.datetime_start), _local(row.datetime_complete)
    return found


@functools.lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _number(kind: Any, value: float | None) -> float:
    name = _name(kind)
    return INFINITE[name] if value is None or name != "FINITE" else float(value)


def _stored(value: float) -> tuple[str, float | None]:
    for name, special in INFINITE.items():
        if value == special or (math.isnan(value) and math.isnan(special)):
            return name, None
    return "FINITE", float(value)


def _local(moment: datetime.datetime | None) -> datetime.datetime | None:
    return None if moment is None else moment.replace(tzinfo=datetime.UTC).astimezone().replace(tzinfo=None)


def _utc(moment: datetime.datetime | None) -> datetime.datetime | None:
    return None if moment is None else moment.astimezone(datetime.UTC).replace(tzinfo=None)


def write_trial(
    connection: Connection, tables: Tables, study: int, before: FrozenTrial | None, now: FrozenTrial
) -> None:
    """Make a trial in the database what it is now. `before`: what is known to stand there, None for
    a new one.
    """
    key = _row_of(connection, tables["trials"], study, before, now)
    old = before or create_trial(state=TrialState.WAITING)

    def put(name: str, column: str, rows: list[dict[str, Any]]) -> None:
        _replace(connection, tables[name], key, column, rows)

    put("trial_params", "param_name", [_parameter(now, name) for name in now.params if name not in old.params])
    put("trial_user_attributes", "key", _notes(old.user_attrs, now.user_attrs))
    put("trial_system_attributes", "key", _notes(old.system_attrs, now.system_attrs))
    at = [(step, *_stored(score)) for step, score in _changed(old.intermediate_values, now.intermediate_values)]
    scores = [{"step": s, "intermediate_value_type": kind, "intermediate_value": v} for s, kind, v in at]
    put("trial_intermediate_values", "step", scores)
    if now.values is not None and now.values != old.values:
        told = [(objective, *_stored(value)) for objective, value in enumerate(now.values)]
        put("trial_values", "objective", [{"objective": o, "value_type": kind, "value": v} for o, kind, v in told])


def _row_of(connection: Connection, table: Table, study: int, before: FrozenTrial | None, now: FrozenTrial) -> int:
    """The number of a trial's row, made or brought up to date."""
    row = {
        "state": now.state.name,
        "datetime_start": _utc(now.datetime_start),
        "datetime_complete": _utc(now.datetime_complete),
    }
    here = (table.c.study_id == study, table.c.number == now.number)
    key = connection.scalar(select(table.c.trial_id).where(*here))
    if key is None:
        assert before is None, f"trial {now.number} is gone"
        made = connection.execute(table.insert().values(study_id=study, number=now.number, **row)).inserted_primary_key
        assert made is not None
        return made[0]
    if before is None or (before.state, before.datetime_start) != (now.state, now.datetime_start):
        connection.execute(table.update().where(table.c.trial_id == key).values(row))
    return key


def _parameter(trial: FrozenTrial, name: str) -> dict[str, Any]:
    kind = trial.distributions[name]
    internal = float(kind.to_internal_repr(trial.params[name]))
    return {"param_name": name, "param_value": internal, "distribution_json": distribution_to_json(kind)}


def _notes(old: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value_json": json.dumps(value)} for key, value in _changed(old, now)]


def _changed(old: Mapping[Any, Any], now: Mapping[Any, T]) -> Iterable[tuple[Any, T]]:
    return [(key, value) for key, value in now.items() if key not in old or old[key] is not value]


def _replace(connection: Connection, table: Table, trial: int, column: str, rows: list[dict[str, Any]]) -> None:
    """Put rows in the place of those with the same key."""
    if not rows:
        return
    keys = [row[column] for row in rows]
    connection.execute(table.delete().where(table.c.trial_id == trial, table.c[column].in_(keys)))
    connection.execute(table.insert(), [{"trial_id": trial, **row} for row in rows])
