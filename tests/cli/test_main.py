"""The command line: answers, JSON, one clear line and exit code 2 for bad input."""

import json
import os
import re
import subprocess
import sys

import pytest

from capax.cli import display, main

SMALL = [
    "--set",
    "cells=rnn",
    "--set",
    "depths=1",
    "--set",
    "budgets=300",
    "--set",
    "trials=2",
    "--set",
    "steps=20",
    "--set",
    "batch=2",
]


@pytest.fixture
def capax(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["capax", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main.main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return call


@pytest.fixture
def refused(capax):
    def call(*arguments):
        code, out, err = capax(*arguments)
        assert code == 2 and out == "", (code, out, err)
        assert err.startswith("capax: ") and err.count("\n") == 1, err
        return err

    return call


def test_help_does_not_load_what_takes_long():
    code = (
        "import sys\n"
        "sys.argv = ['capax', '--help']\n"
        "from capax.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'jax', 'numpy', 'scipy', 'optuna', 'pandas', 'matplotlib', 'equinox', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert re.search(r"\brun\b.*\bstatus\b.*\breport\b.*\blist\b.*\bsize\b", result.stdout, re.DOTALL)


def test_version(capax):
    code, out, _ = capax("--version")
    assert code == 0 and re.fullmatch(r"\d+\.\d+\.\d+\n", out)


def test_size_answers_in_a_line_and_in_json(capax):
    assert capax("size", "gru", "--budget", 10000, "--inputs", 27, "--outputs", 27, "--depth", 2) == (
        0,
        "gru, 2 layers of 27 units: 9720 parameters of a budget of 10000\n",
        "",
    )
    code, out, err = capax("size", "gru", "--budget", 10000, "--inputs", 27, "--outputs", 27, "--depth", 2, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"cell": "gru", "depth": 2, "units": 27, "parameters": 9720, "budget": 10000}


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("cells", "intersection"),
        ("cells", "heads-N"),
        ("tasks", "capacity"),
        ("experiments", "quickstart"),
        ("probes", "jacobian"),
    ],
)
def test_list_has_a_line_each(capax, what, name):
    code, out, _ = capax("list", what)
    assert code == 0
    assert any(line.split()[0] == name and len(line) > 20 for line in out.splitlines())
    assert name in json.loads(capax("list", what, "--json")[1])


def test_list_hyperparameters_says_of_each_its_default_range_scale_and_meaning(capax):
    code, out, _ = capax("list", "hyperparameters", "lru", "capacity")
    lines = out.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.startswith("least_modulus"))
    assert code == 0 and lines[at].split() == ["least_modulus", "0.9", "0.0", "to", "0.99", "linear"]
    assert lines[at + 1].strip().startswith("The least modulus of the eigenvalues")
    told = json.loads(capax("list", "hyperparameters", "lru", "capacity", "--json")[1])
    rate = next(row for row in told if row["name"] == "learning_rate")
    assert rate["range"] == [1e-4, 1e-1] and rate["scale"] == "log" and rate["default"] == 0.03


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["list", "hyperparameters", "gro"], r"unknown cell 'gro'"),
        (["list", "hyperparameters", "gru", "capacitx"], r"unknown task 'capacitx'"),
        (["list", "cells", "gru"], r"capax list cells takes no further words"),
        (["size", "gro", "--budget", 10], r"unknown cell 'gro' \(did you mean 'gru'\?\)"),
        (["size", "gru"], r"Missing option '--budget'"),
        (["size", "gru", "--budget", "x"], r"Invalid value for '--budget'"),
        (["size", "gru", "--budget", "0"], r"budget must be at least 1, not 0"),
        (["size", "gru", "--budget", "5", "--inputs", "9"], r"budget of 5 parameters is too small for gru at depth 1"),
        (["size", "intersection", "--budget", "1000", "--depth", "1"], r"needs a depth of at least 2"),
        (["size", "no.such:Cell", "--budget", "10"], r"there is no module 'no' here or on PYTHONPATH"),
        (["list", "cell"], r"no list of 'cell' \(did you mean 'cells'\?\)"),
        (["sizes"], r"No such command 'sizes'"),
        (["run", "quikstart"], r"unknown experiment 'quikstart' \(did you mean 'quickstart'\?\)"),
        (["run", "quickstart", "--set", "trials"], r"--set 'trials' is not of the form key=value"),
        (["run", "quickstart", "--set", "trails=3"], r"unknown key 'trails' \(did you mean 'trials'\?\)"),
        (["run", "quickstart", "--set", "stopping=median"], r"key 'stopping' = 'median': .*'halving' or 'none'"),
        (["run", "quickstart", "--set", "cells=gro"], r"unknown cell 'gro'"),
        (["run", "quickstart", "--set", "tasks=parity"], r"unknown task 'parity'"),
        (["run", "quickstart", "--set", "budgets=5"], r"budget of 5 parameters is too small"),
        (["run", "quickstart", "--set", "text.path=none.txt"], r"there is no file .*none.txt; text8.zip is at"),
        (["run", "quickstart", "--engine", "slurm"], r"unknown engine 'slurm'; installed are: local"),
        (["probe", "curvatur", "gru"], r"unknown probe 'curvatur' \(did you mean 'curvature'\?\)"),
        (["probe", "sensitivity", "gro"], r"unknown cell 'gro'"),
        (["probe", "sensitivity", "none.safetensors"], r"none.safetensors does not exist"),
        (["probe", "sensitivity", "gru", "--units", "0"], r"units must be at least 1, not 0"),
        (["probe", "sensitivity", "gru", "--set", "direction=3"], r"has no option 'direction' \(did you mean"),
        (
            ["probe", "sensitivity", "gru", "--set", "memory.numbers=3"],
            r"'memory' is not the task; name it with --task",
        ),
        (["probe", "sensitivity", "gru", "--task", "memory", "--set", "memory.number=3"], r"task memory has no option"),
        (
            ["probe", "sensitivity", "gru", "--set", "hyperparameters.gate_int=normal"],
            r"has no hyperparameter 'gate_int'",
        ),
        (["probe", "sensitivity", "gru", "--data", "none.csv"], r"none.csv cannot be read: No such file"),
        (["probe", "landscape", "gru"], r"probe landscape measures a task's loss: name a task, such as --task memory"),
        (["run", "capacity", "--trials", "3"], r"No such option: --trials.* set with --set, such as --set trials=3"),
        (["run", "capacity", "--trials=3"], r"--set trials=3"),
        (["run", "capacity", "--trails", "3"], r"No such option: --trails"),
        (["cost", "gru", "lstm"], r"--units 64\) or a budget of parameters \(--budget 10000\): one of them is needed"),
        (["cost", "gru", "--units", "4", "--budget", "100"], r"not both of them"),
        (
            ["bounds", "lstm", "--layers", "1,x"],
            r"--layers must be whole numbers with commas, such as 1,2,4, not '1,x'",
        ),
        (["bounds", "lstm", "--length", "0"], r"length must be at least 1, not 0"),
        (["bounds", "lstm", "--units", "0"], r"units must be at least 1, not 0"),
        (["bounds", "lstm", "--activation", "sin"], r"unknown activation 'sin'"),
        (["bounds", "lstm", "--runs", "nothing"], r"nothing holds no capax experiment"),
        (["status", "nothing"], r"nothing holds no capax experiment"),
        (["report", "nothing"], r"nothing holds no capax experiment"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(refused, tmp_path, arguments, line):
    assert re.search(line, refused(*arguments))
    assert not any(tmp_path.iterdir())


def test_a_probe_prints_its_numbers_and_leaves_a_figure(capax, tmp_path):
    arguments = ["probe", "sensitivity", "gru", "--units", 3, "--task", "memory", "--set", "memory.numbers=2"]
    arguments += ["--set", "hyperparameters.update_init=normal", "--set", "directions=4", "--batch", 2]
    code, out, err = capax(*arguments)
    assert (code, err) == (0, "") and "largest_sensitivity" in out and "layers.0.gates.bias" in out
    assert (tmp_path / "probes" / "gru" / "sensitivity.png").exists()
    found = json.loads(capax(*arguments, "--json", "--out", "elsewhere")[1])
    assert (
        found["probe"] == "sensitivity" and found["subject"]["task"] == "memory" and found["directory"] == "elsewhere"
    )
    assert found["summary"]["largest_sensitivity"] > 0 and (tmp_path / "elsewhere" / "sensitivity.csv").exists()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "has no letters a-z"),
        (b"\x00\x01\x02", "is not a text file"),
        (b"\xff\xfe\xfd", "is not a text file"),
        (b"only a few letters", "has 18 letters; a window of 50 needs 2040 or more"),
    ],
)
def test_files_that_are_no_text_are_one_line(refused, tmp_path, content, line):
    (tmp_path / "words").write_bytes(content)
    assert line in refused("run", "text8", "--set", "text.path=words")
    assert os.listdir(tmp_path) == ["words"]


CELL = "import capax\nimport jax.numpy as jnp\nclass Mine(capax.cells.get('rnn')):\n    def step(self, state, projected):\n"


@pytest.mark.parametrize(
    ("body", "line", "traceback"),
    [
        (
            "        return state, state[:1]",
            r"step's output has shape \(1, 3\) where \(units, batch\) = \(4, 3\) is due",
            False,
        ),
        ("        return state[:2], state", r"a state of shape \(4, 3\).* into \(2, 3\)", False),
        ("        return 1 / 0", r"raised: ZeroDivisionError: division by zero", True),
    ],
)
def test_a_users_cell_that_breaks_the_contract_is_one_line_after_its_own_traceback(
    capax, tmp_path, monkeypatch, body, line, traceback
):
    name = f"mine_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(CELL + body)
    monkeypatch.syspath_prepend(tmp_path)
    code, out, err = capax("run", "capacity", "--set", f"cells={name}:Mine")
    assert code == 2 and out == ""
    *frames, last = err.splitlines()
    assert re.search(line, last) and last.startswith("capax: cell")
    assert bool(frames) == traceback
    assert all("capax/" not in frame for frame in frames)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_users_cell_runs_by_its_module_path(capax, tmp_path, monkeypatch):
    (tmp_path / "my_cells.py").write_text(
        CELL.replace("Mine", "Mirror") + "        return super().step(-state, projected)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    code, out, _ = capax("run", "capacity", *SMALL, "--set", "cells=my_cells:Mirror", "--json")
    assert code == 0
    assert json.loads(out)["studies"][0]["cell"] == "my_cells:Mirror"


def test_run_status_report(capax, tmp_path):
    code, out, err = capax("run", "capacity", "--out", "r", *SMALL)
    assert code == 0 and err == ""
    assert "done: capacity rnn depth 1" in out and "bits per" in out
    assert out.startswith("1 study, 2 trials; expected cost: ")  # before anything else
    assert out.splitlines()[-1] == "report: r/report.html"
    assert (tmp_path / "r" / "report.html").exists()

    code, out, err = capax("run", "capacity", "--out", "r", *SMALL, "--json")
    answer = json.loads(out)
    assert code == 0 and answer["directory"] == "r" and answer["report"] == "r/report.html"
    (study,) = answer["studies"]
    assert {"cell", "depth", "budget", "units", "parameters", "trials", "infeasible", "best", "interval"} <= set(study)
    assert study["trials"] == 2 and study["parameters"] <= study["budget"] == 300
    assert json.loads(capax("status", "r", "--json")[1])["studies"] == answer["studies"]
    assert capax("status", "r")[1].splitlines()[-1] == "r: everything is done"
    (tmp_path / "r" / "report.html").unlink()
    assert capax("report", "r")[0] == 0
    assert (tmp_path / "r" / "report.html").exists()


def test_status_states_the_rule_of_stopping(capax, tmp_path):
    capax("run", "capacity", "--out", "on", *SMALL, "--set", "stopping=halving", "--json")
    assert "Stopping: successive halving." in capax("status", "on")[1]
    (study,) = json.loads(capax("status", "on", "--json")[1])["studies"]
    assert study["stopping"] == "halving" and study["stopped"] + study["infeasible"] < study["trials"] == 2
    capax("run", "capacity", "--out", "off", *SMALL, "--json")
    assert "Stopping: none." in capax("status", "off")[1]
    assert json.loads(capax("status", "off", "--json")[1])["studies"][0]["stopped"] == 0


def test_the_same_directory_with_another_experiment_is_refused(capax, refused):
    capax("run", "capacity", "--out", "r", *SMALL)
    assert "holds another experiment: it has seed = 0, this one 1" in refused(
        "run", "capacity", "--out", "r", *SMALL, "--set", "seed=1"
    )


def test_an_interrupt_is_said_and_ends_with_130(capax, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("capax.api.running.run", interrupted)
    code, _, err = capax("run", "capacity")
    assert (
        code == 130 and err == "capax: interrupted; what was done is kept, and the same command goes on from there.\n"
    )


def test_the_live_display_shows_every_study_what_is_compiled_and_the_time_left():
    import io

    from rich.console import Console
    from rich.live import Live

    from capax.experiments.cost import Cost
    from capax.experiments.design import load
    from capax.experiments.plan import plan
    from capax.experiments.progress import Progress, StudyProgress
    from capax.training.engine import Compiling, Progressed

    planned = plan(load("capacity", {"budgets": [300], "depths": [1], "cells": ["rnn", "gru"], "trials": 10}))
    studies = {study.name: StudyProgress(study) for study in planned.studies}
    half = studies[planned.studies[0].name]
    half.done, half.infeasible, half.best = 5, 1, 123.4
    work = [study.expected_work for study in planned.studies]
    half.work_done = 5 * work[0]
    announced = Cost(2, 20, 0, 10 * sum(work), training_seconds=40.0, compiling_seconds=8.0, lanes=2)
    progress = Progress(planned, studies, announced, lanes=2)
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=20)
    with Live(console=console, auto_refresh=False) as live:
        moving = display.Moving(live)
        progress.note(Compiling("rnn on capacity (300 parameters, relu)"))
        moving.update(progress)
        live.refresh()
        early = console.file.getvalue()
        progress.note(Progressed({"a": 1000}, trial_steps=1000, seconds=20.0, work=5 * work[0]))
        moving.update(progress)
        live.refresh()
    shown = console.file.getvalue()
    assert "compiling rnn on capacity (300 parameters, relu)" in early and "trial-steps/s" not in early
    assert "5/10" in shown and "123.4" in shown and "100 trial-steps/s" in shown


def test_an_error_with_json_is_one_object_on_standard_error(capax):
    code, out, err = capax("size", "gro", "--budget", 10, "--json")
    assert code == 2 and out == "" and "did you mean 'gru'?" in json.loads(err)["error"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [["list", "probes"], ["list", "experiments", "--json"]])
def test_a_full_disk_under_standard_output_is_one_line(arguments):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", "from capax.cli.main import main; main()", *arguments]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 2 and result.stderr.count("\n") == 1, result.stderr
    assert "standard output: No space left on device" in result.stderr


def test_lists_of_probes_and_experiments_and_refusals_of_probes_do_not_load_jax():
    code = (
        "import sys\n"
        "from capax.cli.main import main\n"
        "for words, code in ((['list', 'probes'], 0), (['list', 'experiments'], 0), (['probe', 'adam', 'gru'], 2)):\n"
        "    sys.argv = ['capax', *words]\n"
        "    try: main()\n"
        "    except SystemExit as end: assert end.code == code\n"
        "heavy = {'jax', 'scipy', 'optuna', 'pandas', 'matplotlib', 'equinox'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_what_is_listed_of_probes_says_what_they_need_and_no_title_of_a_paper(capax):
    from capax.probes.names import OF_A_TASK

    listed = json.loads(capax("list", "probes", "--json")[1])
    assert {name for name, text in listed.items() if "Needs a task" in text} == set(OF_A_TASK)
    assert not any("vanishing and exploding" in text for text in listed.values())


def test_probes_that_need_a_task_are_those_that_fail_without_one():
    from capax.probes import PROBES, Subject, probe
    from capax.probes.names import OF_A_TASK

    subject = Subject.create("rnn", units=2, length=4, batch=2)
    for name in set(PROBES) - set(OF_A_TASK):
        probe(name, subject)


def test_help_of_run_names_every_key_of_the_experiment():
    from capax.cli.main import SET_HELP
    from capax.experiments.design import Experiment

    assert not [
        key
        for key in Experiment.model_fields
        if key not in SET_HELP and key not in ("name", "question", "source", "smaller", "task")
    ]


def test_completion_can_be_installed(capax):
    assert "--install-completion" in capax("--help")[1]


TABLE = "date;shop;sold\n" + "".join(f"{day:02}.01.2024;{shop};{day},5\n" for day in range(1, 31) for shop in "AB")


def test_a_probe_of_a_file_says_what_it_took_the_file_for(capax, tmp_path):
    (tmp_path / "sold.csv").write_text(TABLE)
    code, out, err = capax("probe", "autocorrelation", "rnn", "--units", 2, "--data", "sold.csv", "--length", 10)
    assert code == 0 and "inputs 1" in out
    for said in (
        "data: sold.csv: 60 rows of 3 columns, separated by semicolons; the first line names the columns",
        "data: numbers have a decimal comma, as in '1,5' (column 'sold', line 2); otherwise: --decimal",
        "data: time: 'date' (dates as day.month.year), 2024-01-01 to 2024-01-30; otherwise: --time COLUMN or none",
        "data: series: 'shop' tells 2 apart: A, B; otherwise: --series COLUMN or none",
        "data: numbers: sold",
        "data: 6 windows of 10 steps",
    ):
        assert said in err.splitlines(), err
    notes = json.loads((tmp_path / "probes" / "rnn" / "autocorrelation.json").read_text())["notes"]
    assert [f"data: {note}" for note in notes] == err.splitlines()


def test_a_file_can_be_told_how_to_be_read(capax, refused, tmp_path):
    (tmp_path / "sold.csv").write_bytes(TABLE.replace("shop", "Gesch\u00e4ft").encode("cp1252"))
    short = ["probe", "autocorrelation", "rnn", "--units", 2, "--data", "sold.csv", "--length", 10]
    assert "line 1, byte 11 is 0xe4" in refused(*short)
    code, _, err = capax(*short, "--encoding", "cp1252", "--series", "none", "--time", "none", "--decimal", ",")
    assert code == 0 and "each row" not in err and "data: numbers: sold" in err and "series:" not in err
    assert "time is no way to read a text" in refused(*short, "--text", "letters", "--time", "date")
    assert "encoding is no way to read a file" in refused("probe", "autocorrelation", "rnn", "--encoding", "cp1252")
