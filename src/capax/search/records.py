"""What a record of a journal must hold for Optuna to read it: every key of its operation, each with
a value that can be meant.
"""

import datetime
import functools
from collections.abc import Callable
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from capax.search.entries import PAUSED, RESULT

CREATE_STUDY, CREATE_TRIAL, PARAMETER, STATE, INTERMEDIATE, USER_ATTRIBUTE = 0, 4, 5, 6, 7, 8
"""Optuna's numbers of the operations that are looked into here."""
ENDED = {state.value for state in TrialState if state.is_finished()}
_STATES = {state.value for state in TrialState}
_DIRECTIONS = {direction.value for direction in StudyDirection}

Record = dict[str, Any]


def is_record(record: Any) -> bool:
    """Whether this is a record of one of Optuna's operations."""
    if not isinstance(record, dict) or "worker_id" not in record:
        return False
    operation = record.get("op_code")
    checks = _CHECKS.get(operation) if isinstance(operation, int) else None
    return checks is not None and all(name in record and suits(record[name]) for name, suits in checks.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_attribute(value: Any) -> bool:
    """One name with its value; a result says at which step."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((name, given),) = value.items()
    return name not in (RESULT, PAUSED) or (isinstance(given, dict) and _is_id(given.get("steps")))


def _is_date(value: Any) -> bool:
    try:
        return bool(datetime.datetime.fromisoformat(value))
    except (TypeError, ValueError):
        return False


@functools.lru_cache(maxsize=4096)
def _reads(distribution: str) -> bool:
    try:
        return bool(json_to_distribution(distribution))
    except Exception:  # whatever a text may be in place of a distribution
        return False


def _is_distribution(value: Any) -> bool:
    return isinstance(value, str) and _reads(value)


def _are_directions(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1 and isinstance(value[0], int) and value[0] in _DIRECTIONS


def _is_state(value: Any) -> bool:
    return isinstance(value, int) and value in _STATES


def _are_values(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(map(_is_number, value)))


_CHECKS: dict[int, dict[str, Callable[[Any], bool]]] = {
    CREATE_STUDY: {"study_name": _is_text, "directions": _are_directions},
    1: {"study_id": _is_id},
    2: {"study_id": _is_id, "user_attr": _is_attribute},
    3: {"study_id": _is_id, "system_attr": _is_attribute},
    CREATE_TRIAL: {"study_id": _is_id, "datetime_start": lambda value: value is None or _is_date(value)},
    PARAMETER: {
        "trial_id": _is_id,
        "param_name": _is_text,
        "param_value_internal": _is_number,
        "distribution": _is_distribution,
    },
    STATE: {"trial_id": _is_id, "state": _is_state, "values": _are_values},
    INTERMEDIATE: {"trial_id": _is_id, "step": _is_id, "intermediate_value": _is_number},
    USER_ATTRIBUTE: {"trial_id": _is_id, "user_attr": _is_attribute},
    9: {"trial_id": _is_id, "system_attr": _is_attribute},
}
"""What an operation's record must have."""
