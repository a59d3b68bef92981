"""Damaged journals: one line says where, all that is sound is kept, and nothing is put where it
does not belong.
"""

import json
import os

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from capax.search import journal

optuna.logging.set_verbosity(optuna.logging.ERROR)
RESULT = {"feasible": True, "steps": 8, "validation": {"score": 1.0}}


@pytest.fixture
def path(tmp_path):
    """Two studies of three trials each, as a run writes them: proposed, paused at step 2, ended,
    told.
    """
    path = tmp_path / "optuna.journal"
    storage = JournalStorage(JournalFileBackend(str(path)))
    for name in ("first", "second"):
        study = optuna.create_study(storage=storage, study_name=name)
        for number in range(3):
            trial = study.ask({f"{name}_{key}": FloatDistribution(0, 1) for key in "ab"})
            trial_id = trial._trial_id
            storage.set_trial_user_attr(trial_id, "paused", {**RESULT, "steps": 2})
            storage.set_trial_intermediate_value(trial_id, 2, 0.5)
            storage.set_trial_user_attr(trial_id, "result", {**RESULT, "seed": number})
            study.tell(number, 1.0)
    return path


def lines_of(path):
    return path.read_bytes().splitlines(True)


def trials(records):
    storage = JournalStorage(journal.InMemory(records))
    return {study.study_name: storage.get_all_trials(study._study_id) for study in storage.get_all_studies()}


def operation(line):
    return json.loads(line)["op_code"]


def place(path, code, number=0):
    """The index of a line with an operation."""
    return [k for k, line in enumerate(lines_of(path)) if operation(line) == code][number]


def write(path, lines):
    path.write_bytes(b"".join(lines))


def test_a_sound_journal_is_read_as_optuna_reads_it_and_is_left_alone(path):
    before, found = path.read_bytes(), journal.read(path)
    optunas = JournalStorage(JournalFileBackend(str(path)))
    assert found.fault is None and found.lost == 0
    assert trials(found.records) == {
        study.study_name: optunas.get_all_trials(study._study_id) for study in optunas.get_all_studies()
    }
    assert journal.mend(path) is None and path.read_bytes() == before


def test_the_end_that_a_killed_process_leaves_is_no_damage(path):
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"wor')
    os.symlink(path, f"{path}.lock")
    assert journal.read(path).fault is None
    assert journal.mend(path) is None
    assert path.read_bytes() == whole and os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda lines: [*lines[:9], b"\n", *lines[9:]], "line 10: it is blank; nothing is lost"),
        (
            lambda lines: [*lines[:9], lines[9].rstrip(b"\n"), *lines[10:]],
            "line 10: it holds 2 records; nothing is lost",
        ),
        (
            lambda lines: [*lines[:9], b"\0" * 512 + lines[9], *lines[10:]],
            "line 10: it has 512 NUL bytes, as a power cut",
        ),
        (lambda lines: [*lines[:9], lines[9].replace(b"\n", b"\0\0\n"), *lines[10:]], "line 10: it has 2 NUL bytes"),
    ],
)
def test_damage_that_loses_nothing_is_mended_whole(path, harm, says):
    lines, before = lines_of(path), journal.read(path).records
    # Lines 10 and 11 must be records of one trial, so that the order of what is read can be told.
    write(path, harm(lines))
    damaged = path.read_bytes()
    assert journal.read(path).records == before
    said = journal.mend(path)
    assert said is not None and says in said and f"{path}, line" in said
    assert (path.parent / "optuna.journal.damaged-1").read_bytes() == damaged
    assert journal.read(path).records == before and journal.read(path).fault is None


@pytest.mark.parametrize(
    "garbage", [b"garbage not json\n", b"\xff\xfe\x00binary\n", b'{"op_code":4,"worker\n', b"[1, 2]\n"]
)
def test_a_line_of_garbage_between_records_loses_nothing_else(path, garbage):
    lines, before = lines_of(path), journal.read(path).records
    write(path, [*lines[:12], garbage, *lines[12:]])
    found = journal.read(path)
    assert f"{path}, line 13:" in found.fault and found.lost == 1
    assert found.records == before


def test_a_bad_last_record_that_ends_in_a_newline_is_dropped(path):
    lines = lines_of(path)
    write(path, [*lines[:-1], lines[-1][:20] + b"\n"])
    assert f"line {len(lines)}: a record is cut short or garbled" in journal.mend(path)
    last = trials(journal.read(path).records)["second"][-1]
    assert last.state == TrialState.RUNNING and "result" in last.user_attrs
    storage = JournalStorage(JournalFileBackend(str(path)))  # and Optuna goes on with it
    assert optuna.load_study(study_name="second", storage=storage).ask().number == 3


LOST = [
    (0, 1, r"study 1 was never begun"),
    (4, 1, r"trial \d was never proposed|has a value of first_a already"),
    (4, 4, r"trial \d was never proposed|has a value of second_a already"),
    (5, 2, r"trial 1 has a result and not all its hyperparameters"),
    (7, 1, r"trial 1 has a result and no score where it paused"),
]


@pytest.mark.parametrize(("code", "number", "says"), LOST)
@pytest.mark.parametrize("garbled", [True, False])
def test_what_follows_a_lost_line_is_kept_only_where_it_belongs(path, code, number, says, garbled):
    lines, whole = lines_of(path), trials(journal.read(path).records)
    k = place(path, code, number)
    write(path, [*lines[:k], *([lines[k][: len(lines[k]) // 2] + b"\n"] if garbled else []), *lines[k + 1 :]])
    found = journal.read(path)
    assert found.fault is not None and found.lost > 0
    if garbled:
        assert f"line {k + 1}: a record is cut short or garbled" in found.fault
    else:
        import re

        assert re.search(says, found.fault)
    for name, of_study in trials(found.records).items():
        for trial in of_study:  # what is there is what was there
            true = whole[name][trial.number]
            assert trial.params.items() <= true.params.items()
            assert trial.user_attrs.get("result", true.user_attrs["result"]) == true.user_attrs["result"]
    journal.mend(path)
    assert journal.read(path).fault is None


def test_a_lost_result_is_noticed_where_its_trial_ends(path):
    lines = lines_of(path)
    k = next(k for k, line in enumerate(lines) if operation(line) == 8 and "result" in json.loads(line)["user_attr"])
    write(path, [*lines[:k], *lines[k + 1 :]])
    assert "trial 0 ends without a result: a line before is lost" in journal.read(path).fault


ODD = [
    {"op_code": [4], "study_id": 0},
    {"op_code": 4, "study_id": "0", "datetime_start": None},
    {"op_code": 4, "study_id": -1, "datetime_start": None},
    {"op_code": 4, "study_id": 0, "datetime_start": "yesterday"},
    {"op_code": 5, "trial_id": 0, "param_name": "x", "param_value_internal": 1.0, "distribution": "{}"},
    {"op_code": 5, "trial_id": 0, "param_name": "x", "param_value_internal": "1", "distribution": "cos\nsystem\n"},
    {"op_code": 6, "trial_id": 0, "state": 99, "values": None},
    {"op_code": 8, "trial_id": 0, "user_attr": {"result": "__import__('os').system('true')"}},
    {"op_code": 8, "trial_id": 0, "user_attr": {"paused": {"steps": {}}}},
    {"op_code": 99, "trial_id": 0},
]


@pytest.mark.parametrize("odd", ODD)
def test_a_line_of_json_that_is_no_record_is_named_and_left_out(path, odd):
    lines, before = lines_of(path), journal.read(path).records
    write(path, [*lines[:12], json.dumps({"worker_id": "w", **odd}).encode() + b"\n", *lines[12:]])
    found = journal.read(path)
    assert f"{path}, line 13: it is no record of a journal" in found.fault and found.lost == 1
    assert found.records == before


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"a":' * 100_000, b'{"op_code": ' + b"9" * 100_000 + b"}"])
def test_json_that_breaks_its_parser_is_garbled(path, line):
    lines, before = lines_of(path), journal.read(path).records
    write(path, [*lines, line + b"\n"])
    found = journal.read(path)
    assert f"line {len(lines) + 1}: a record is cut short or garbled" in found.fault and found.records == before


def test_zeros_within_a_record_hide_what_was_there(path):
    lines, before = lines_of(path), journal.read(path).records
    write(path, [*lines[:-1], lines[-1][:30] + b"\0" * 8 + lines[-1][30:]])
    found = journal.read(path)
    assert f"line {len(lines)}: a record is cut short or garbled" in found.fault
    assert found.records == before[:-1]
