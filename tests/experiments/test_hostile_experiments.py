"""Experiment files from anyone: one line, at once, in little memory; nothing written elsewhere."""

import resource
import sys
import time

import pytest

from capax.errors import CapaxError
from capax.experiments import design
from capax.experiments.design import load
from capax.experiments.plan import plan

USUAL = 'name = "x"\ntasks = ["memory"]\ncells = ["rnn"]\nbudgets = [300]\ntrials = 2\nsteps = [5, 9]\n'


def changed(old, new):
    assert old in USUAL
    return USUAL.replace(old, new)


HOSTILE = {
    "nested arrays": (USUAL + "tune = " + "[" * 50_000, "is not valid TOML"),
    "nested tables": (USUAL + "task = " + "{a=" * 50_000, "is not valid TOML"),
    "a long key": (USUAL + "a" + ".a" * 50_000 + " = 1", "a key has more than 100 parts"),
    "a long header": (USUAL + "[a" + ".a" * 50_000 + "]", "a key has more than 100 parts"),
    "many digits": (changed("trials = 2", "trials = " + "9" * 5000), "is not valid TOML"),
    "many trials": (changed("trials = 2", "trials = " + "9" * 30), "key 'trials'"),
    "many steps": (changed("[5, 9]", "[5, " + "9" * 30 + "]"), "key 'steps.1'"),
    "many layers": (USUAL + "depths = [1000000000]", "less than or equal to 1000"),
    "many parameters": (changed("300", "9" * 30), "key 'budgets.0'"),
    "infinity": (changed("trials = 2", "trials = inf"), "key 'trials'"),
    "a path": (changed('"x"', '"../../../x"'), "leave / and"),
    "a path on Windows": (changed('"x"', "'..\\x'"), "leave / and"),
    "an absolute path": (changed('"x"', '"/etc/x"'), "leave / and"),
    "the folder above": (changed('"x"', '".."'), "leave / and"),
    "no name": (changed('"x"', '""'), "leave / and"),
    "a NUL": (changed('"x"', '"a\\u0000b"'), "leave / and"),
    "an escape of the terminal": (changed('"x"', '"\\u001b[2J"'), "leave / and"),
    "a command": (changed('"rnn"', '"os;system(1):x"'), "not of the form module.path:Class"),
    "a function": (changed('"rnn"', '"os:system"'), "has no class 'system'"),
    "a class that is no cell": (changed('"rnn"', '"subprocess:Popen"'), "Popen"),
    "a class that is no task": (changed('"memory"', '"subprocess:Popen"'), "Popen"),
    "a module beside capax": (changed('"rnn"', '"..evil:Cell"'), "not of the form module.path:Class"),
    "code in place of a number": (USUAL + "seed = \"__import__('os').system('true')\"", "key 'seed'"),
    "no text": ("\x00\x80", "is not"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_line(tmp_path, name):
    text, says = HOSTILE[name]
    (tmp_path / "file.toml").write_text(text)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(CapaxError) as caught:
        plan(load(str(tmp_path / "file.toml")))
    line = str(caught.value)
    assert says in line and "\n" not in line and not {*line} & {"\x00", "\x1b"}, line[:500]
    assert len(line) < 6000 and time.perf_counter() - began < 90
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024
    assert [each.name for each in tmp_path.iterdir()] == ["file.toml"]


def test_a_setting_of_endless_brackets_is_a_word():
    assert design.parse_setting("seed=" + "[" * 50_000)[0] == "seed"


def test_only_the_module_that_a_file_names_is_imported(tmp_path, monkeypatch):
    for name in ("named_cell", "beside_it"):
        (tmp_path / f"{name}.py").write_text("import capax\nclass Mine(capax.cells.get('rnn')):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "file.toml").write_text(changed('"rnn"', '"named_cell:Mine"'))
    plan(load(str(tmp_path / "file.toml")))
    assert "named_cell" in sys.modules and "beside_it" not in sys.modules
