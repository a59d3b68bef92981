"""Between Optuna's trials and the ledger's entries: what the journal keeps of a trial, and under
which names."""

import dataclasses
from typing import Any, get_args

import pydantic
from optuna.trial import FrozenTrial

from capax.errors import CapaxError
from capax.search.ledger import Entry, ProposedBy, TrialRecord

RESULT, PAUSED, PROPOSED_BY = "result", "paused", "proposed_by"

_RECORD = pydantic.TypeAdapter(TrialRecord)


def entry_of(trial: FrozenTrial) -> Entry:
    """The ledger's entry of a trial that Optuna has read. Raises `CapaxError` where its result is
    none."""
    paused, result = trial.user_attrs.get(PAUSED), trial.user_attrs.get(RESULT)
    by = trial.user_attrs.get(PROPOSED_BY)
    if by is not None and by not in get_args(ProposedBy):
        raise CapaxError(f"trial {trial.number} says that {str(by)[:40]!r} proposed it: capax did not write that.")
    return Entry(
        number=trial.number,
        hyperparameters=trial.params,
        proposed_by=by,
        scores=trial.intermediate_values,
        paused=None if paused is None else record_of_json(paused),
        result=None if result is None else record_of_json(result),
        is_told=trial.state.is_finished(),
    )


def record_to_json(record: TrialRecord) -> dict[str, Any]:
    """The record as the journal holds it: what is as usual is left out."""
    usual = {field.name: field.default for field in dataclasses.fields(TrialRecord)}
    return {name: value for name, value in _RECORD.dump_python(record).items() if value != usual[name]}


def record_of_json(found: Any) -> TrialRecord:
    """The record of a trial as it was kept. Raises `CapaxError` where it is none."""
    try:
        record = _RECORD.validate_python(found)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CapaxError(f"the store holds a result that is none: {where}: {first['msg']}.") from None
    if record.feasible and "score" not in record.validation:
        raise CapaxError("the store holds a result that is none: it has no score.")
    return record
