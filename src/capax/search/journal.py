"""An optuna.journal that was damaged: what is sound in it, what is not, and how it is mended.

A journal is one JSON record a line; a record's trial is known by how many trials were created
before it. So a lost record may put all that follows in the wrong place. What follows a damaged line
is kept only where it is consistent without it.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from optuna.storages.journal import BaseJournalBackend

from capax.files import write_atomically
from capax.search.records import (
    CREATE_STUDY,
    CREATE_TRIAL,
    ENDED,
    INTERMEDIATE,
    PARAMETER,
    STATE,
    USER_ATTRIBUTE,
    Record,
    is_record,
)


@dataclasses.dataclass(frozen=True)
class Journal:
    """What was read: `records` that are sound, in order; `fault`, the first damage, such as
    "optuna.journal, line 12: ...", None where there is none; `lost`: lines that are not kept. A
    last line without an end is no damage: a killed process leaves it.
    """

    records: tuple[Record, ...]
    fault: str | None
    lost: int


class InMemory(BaseJournalBackend):
    """The sound records of a journal, for Optuna to read."""

    def __init__(self, records: tuple[Record, ...]):
        self._records = records

    def read_logs(self, log_number_from: int) -> Iterator[Record]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Records from a number on."""
        return iter(self._records[log_number_from:])

    def append_logs(self, logs: list[Record]) -> None:
        """Refused: this is for reading."""
        raise NotImplementedError("a journal in memory is read and not written")


def read(path: Path) -> Journal:
    """The sound part of a journal; an empty one where there is no file."""
    if not path.exists():
        return Journal((), None, 0)
    content = path.read_bytes()
    lines = content[: content.rfind(b"\n") + 1].split(b"\n")[:-1]
    faults: list[tuple[int, str]] = []
    found: list[tuple[int, Record]] = []
    damaged: list[int] = []
    for number, line in enumerate(lines, 1):
        records, fault, whole = _parse(line)
        found += [(number, record) for record in records]
        faults += [(number, fault)] if fault else []
        damaged += [] if whole else [number]
    kept, broken = _consistent(found)
    if broken is not None:
        cut = next((number for number in damaged if number < broken[0]), broken[0])
        faults = [(number, fault) for number, fault in faults if number <= cut] or [broken]
        kept = [(number, record) for number, record in kept if number < cut]
        damaged = list(range(cut, len(lines) + 1))
    records = tuple(record for _, record in kept)
    return Journal(records, f"{path}, line {faults[0][0]}: {faults[0][1]}" if faults else None, len(damaged))


def mend(path: Path) -> str | None:
    """Make a journal sound that no other process writes; returns what was done, in one line, None
    for a sound one.

    The damaged file is kept beside it. What a killed process left is cleared, too: an unfinished
    last line, and the journal's own lock.
    """
    for stale in path.parent.glob(f"{path.name}.lock*"):
        stale.unlink(missing_ok=True)
    journal = read(path)
    text = b"".join(json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in journal.records)
    if journal.fault is None:
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            write_atomically(path, whole)
        return None
    copy = _free(path)
    write_atomically(copy, path.read_bytes())
    write_atomically(path, text)
    return f"{journal.fault}; {said(journal)}; the damaged file is kept as {copy.name}"


def said(journal: Journal) -> str:
    """What a fault cost."""
    if not journal.lost:
        return "nothing is lost"
    lines = "1 line is" if journal.lost == 1 else f"{journal.lost:,} lines are"
    return f"{lines} not kept, and trials that need them are trained again"


def _free(path: Path) -> Path:
    number = 1
    while (copy := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return copy


def _parse(line: bytes) -> tuple[list[Record], str | None, bool]:
    """The records of a line, what is wrong with it, and whether all of it could be kept."""
    zeros = line.count(b"\0")
    records: list[Record] = []
    try:
        for part in line.split(b"\0"):  # zeros may stand between records; within one they hide what was there
            left = part.decode("utf-8").strip()
            while left:
                record, end = json.JSONDecoder().raw_decode(left)
                if not is_record(record):
                    return records, "it is no record of a journal", False
                records.append(record)
                left = left[end:].strip()
    except UnicodeDecodeError:
        return [], "it is no text", False
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, or nested without end
        return records, "a record is cut short or garbled", False
    if zeros:
        return records, f"it has {zeros} NUL bytes, as a power cut leaves them", bool(records)
    if not records:
        return [], "it is blank", True
    return records, f"it holds {len(records)} records" if len(records) > 1 else None, True


@dataclasses.dataclass
class _Trial:
    study: int
    parameters: set[str] = dataclasses.field(default_factory=set)
    values: set[int] = dataclasses.field(default_factory=set)
    paused: int | None = None
    has_result: bool = False
    ended: bool = False


def _consistent(found: list[tuple[int, Record]]) -> tuple[list[tuple[int, Record]], tuple[int, str] | None]:
    """The records before the first one that cannot follow them, and that one's line with the
    reason; all and None if there is none.
    """
    studies, trials = 0, []
    names: dict[int, set[str]] = {}  # a study's hyperparameters: the same for all its trials
    for place, (number, record) in enumerate(found):
        operation, reason = record["op_code"], None
        if "study_id" in record and record["study_id"] >= studies:
            reason = f"study {record['study_id']} was never begun: a line before is lost"
        elif "trial_id" in record and record["trial_id"] >= len(trials):
            reason = f"trial {record['trial_id']} was never proposed: a line before is lost"
        elif operation == CREATE_STUDY:
            studies += 1
        elif operation == CREATE_TRIAL:
            ended = record.get("state") in ENDED
            given = {*record.get("params", {})}
            trials.append(_Trial(record["study_id"], given, set(), None, ended, ended))
        elif "trial_id" in record:
            trial = trials[record["trial_id"]]
            reason = _follows(trial, operation, record, names.setdefault(trial.study, set()))
        if reason is not None:
            return found[:place], (number, reason)
    return found, None


def _follows(trial: _Trial, operation: int, record: Record, names: set[str]) -> str | None:
    """Note a record of a trial; the reason where it cannot follow what came before."""
    lost, which = "a line before is lost", f"trial {record['trial_id']}"
    if operation == PARAMETER:
        if record["param_name"] in trial.parameters or trial.has_result:
            return f"{which} has a value of {record['param_name']} already: {lost}"
        trial.parameters.add(record["param_name"])
    elif operation == INTERMEDIATE:
        if trial.paused != record["step"]:
            return f"{which} has a score at a step where it did not pause: {lost}"
        trial.values.add(record["step"])
    elif operation == USER_ATTRIBUTE and {"result", "paused"} & record["user_attr"].keys():
        return _scored(trial, record["user_attr"], names, f"{which} has a result", lost)
    elif operation == STATE and record["state"] in ENDED:
        if not trial.has_result or trial.ended:
            return f"{which} ends {'twice' if trial.ended else 'without a result'}: {lost}"
        trial.ended = True
    return None


def _scored(trial: _Trial, attribute: Record, names: set[str], has: str, lost: str) -> str | None:
    if not trial.parameters or (names and trial.parameters != names):
        return f"{has} and not all its hyperparameters: {lost}"
    names |= trial.parameters
    pauses = attribute["paused"]["steps"] if "paused" in attribute else None  # the same again: killed between the two
    if trial.paused is not None and trial.paused not in trial.values and pauses != trial.paused:
        return f"{has} and no score where it paused: {lost}"
    if pauses is not None:
        trial.paused = pauses
    elif trial.has_result:
        return f"{has} already: {lost}"
    else:
        trial.has_result = True
    return None
