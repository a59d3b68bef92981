"""The studies of a run as its driver has them: read from memory, written to a database.

The driver alone writes, so what it has in memory is what stands in the database once `flush` is
over. Nothing is read from there after the beginning.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection

from capax.search import rows
from capax.search.database import Database

AT_ONCE = 1_000
"""Trials that one transaction writes, at most."""


class Mirror(InMemoryStorage):
    """Optuna's storage of the studies whose names in the database begin with `prefix`, which they
    do not have here. Of what changes here, the database learns in `flush`. `check` raises where
    this process may not write.

    Raises `CapaxError` where the database holds what capax has not written.
    """

    def __init__(self, database: Database, prefix: str, check: Callable[[Connection], None]):
        super().__init__()
        self._database, self._prefix, self._check = database, prefix, check
        self._rows: dict[int, int] = {}  # the database's number of a study
        self._study: dict[int, int] = {}  # of a trial
        self._written: dict[int, FrozenTrial] = {}  # trials as the database has them
        self._changed: dict[int, None] = {}  # trials that it does not have so, in order
        for row, name, direction, trials in database.transact(self._read):
            study = super().create_new_study([direction], name.removeprefix(prefix))
            self._rows[study] = row
            for trial in trials:
                number = super().create_new_trial(study, trial)
                self._study[number], self._written[number] = study, self.get_trial(number)

    def _read(self, connection: Connection) -> list[tuple[int, str, StudyDirection, list[FrozenTrial]]]:
        tables = self._database.tables
        found = rows.studies_of(connection, tables, self._prefix)
        return [(row, name, direction, rows.trials(connection, tables, row)) for row, name, direction in found]

    def flush(self) -> None:
        """Write what has changed, a thousand trials a transaction. Raises `CapaxError` where the
        database refuses or stays away; then the next flush does it.
        """
        while self._changed:
            some = list(self._changed)[:AT_ONCE]
            now = {number: self.get_trial(number) for number in some}
            self._database.transact(functools.partial(self._write, now))
            self._written |= now
            for number in some:
                del self._changed[number]

    def _write(self, trials: dict[int, FrozenTrial], connection: Connection) -> None:
        self._check(connection)
        for number, trial in trials.items():
            row = self._rows[self._study[number]]
            rows.write_trial(connection, self._database.tables, row, self._written.get(number), trial)

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """A new study, which is in the database at once."""
        assert study_name is not None, "studies of a run have names"
        number = super().create_new_study(directions, study_name)
        tables, (direction,) = self._database.tables, directions
        name = self._prefix + study_name
        self._rows[number] = self._database.transact(
            lambda connection: rows.add_study(connection, tables, name, direction)
        )
        return number

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """A new trial."""
        number = super().create_new_trial(study_id, template_trial)
        self._study[number] = study_id
        self._changed[number] = None
        return number

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float | int, distribution: BaseDistribution
    ) -> None:
        """A hyperparameter of a trial."""
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        self._changed[trial_id] = None

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """The state of a trial."""
        done = super().set_trial_state_values(trial_id, state, values)
        self._changed[trial_id] = None
        return done

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float | int) -> None:
        """A score on the way."""
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)
        self._changed[trial_id] = None

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """An attribute of a trial."""
        super().set_trial_user_attr(trial_id, key, value)
        self._changed[trial_id] = None

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """An attribute of a trial that Optuna has."""
        super().set_trial_system_attr(trial_id, key, value)
        self._changed[trial_id] = None
