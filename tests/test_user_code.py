"""A user's classes by `module.path:Class`, and what is said where a user's own code fails inside
capax.
"""

import sys
import textwrap

import pytest

import capax
from capax import user_code
from capax.cells import registry
from capax.cli import main
from capax.errors import CapaxError, UserCodeError

CELL = """
    import capax
    import jax
    import numpy as np

    LIMIT = {limit}

    class Careful(capax.Cell):
        hidden: capax.Affine = capax.affine("hidden")

        def project(self, x):
            return self.hidden.project(x)

        def step(self, h, projected):
            h = self.s(self.hidden.recur(h, projected))
            return h, {output}

    def refuse(h):
        if h.shape[-1] > LIMIT:
            raise ValueError("too many samples")
        return h

    @jax.custom_vjp
    def on_the_host(h):
        return h

    def backward(_, g):
        shape = jax.ShapeDtypeStruct(g.shape, g.dtype)
        return (jax.pure_callback(lambda h: np.asarray(refuse(h)), shape, g, vmap_method="sequential"),)

    on_the_host.defvjp(lambda h: (h, None), backward)
"""
SMALL = {"budgets": [120], "depths": [1], "trials": 1, "steps": 5}


class AtTheTop(capax.Cell):
    """A cell that can be found again by its name."""

    hidden: capax.Affine = capax.affine("hidden")

    def project(self, x):
        return self.hidden.project(x)

    def step(self, h, projected):
        h = self.s(self.hidden.recur(h, projected))
        return h, h


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that Python can import, and give it back."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, source):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        return name

    return write


def test_a_class_is_found_again_by_the_path_that_is_told_of_it():
    path = user_code.path_of(AtTheTop, "cell")
    assert path == f"{__name__}:AtTheTop"
    assert user_code.load(path, "cell") is AtTheTop


def test_a_class_of_a_script_is_named_main_and_found_there_alone(monkeypatch):
    of_a_script = type("Mine", (), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Mine", of_a_script, raising=False)
    assert user_code.path_of(of_a_script, "cell") == "__main__:Mine"
    assert user_code.load("__main__:Mine", "cell") is of_a_script
    monkeypatch.delattr(sys.modules["__main__"], "Mine")
    with pytest.raises(CapaxError, match=r"script or notebook.*move Mine into a module"):
        user_code.load("__main__:Mine", "cell")


def test_a_class_that_no_name_leads_to_is_refused_for_a_run():
    class Hidden(AtTheTop):
        """Inside a function."""

    with pytest.raises(CapaxError, match="at the top of a module"):
        user_code.path_of(Hidden, "cell")


def test_names_of_cells_lead_back_to_them():
    for cell in [*registry.BUILT_IN.values(), AtTheTop]:
        assert registry.get(registry.name_of(cell)) is cell


def test_a_class_is_sized_as_its_name_is():
    of_class = capax.size(AtTheTop, budget=300, inputs=2, outputs=1)
    of_name = capax.size(f"{__name__}:AtTheTop", budget=300, inputs=2, outputs=1)
    assert (of_class.units, of_class.parameters) == (of_name.units, of_name.parameters)


def test_a_run_takes_classes_and_names_them(tmp_path):
    report = capax.run("capacity", out=tmp_path / "run", cells=[AtTheTop, "gru"], **SMALL)
    assert list(report.frame["cell"]) == [f"{__name__}:AtTheTop", "gru"]


@pytest.mark.parametrize(
    ("function", "doing"),
    [
        ("refuse", "cell '{name}:Careful': a step with 5 inputs, 4 units and a batch of 720 raised"),
        ("on_the_host", "training capacity-{name}:Careful-depth1-120"),
    ],
    ids=["before training", "in a callback"],
)
def test_a_cell_that_fails_on_many_samples_is_told_by_its_own_lines_and_the_run_goes_on_once_mended(
    function, doing, module, tmp_path, monkeypatch
):
    name = module(f"fails_late_{function}", CELL.format(output=f"{function}(h)", limit=100))
    whole = {"hyperparameters": {"batch_size": 0}}
    settings = {"out": tmp_path / "run", "cells": [f"{name}:Careful"], **SMALL, **whole}
    with pytest.raises(UserCodeError) as caught:
        capax.run("capacity", **settings)
    assert str(caught.value) == f"{doing.format(name=name)}: ValueError: too many samples"
    own = caught.value.user_traceback
    lines = [line.strip() for line in own.splitlines() if set(line) - set(" ^~")]
    assert lines[-1] == 'raise ValueError("too many samples")'
    assert {line.split('"')[1] for line in lines if line.startswith("File")} == {str(tmp_path / f"{name}.py")}

    monkeypatch.setattr(sys.modules[name], "LIMIT", 10_000)
    assert list(capax.run("capacity", **settings).frame["trials"]) == [1]


def test_the_command_line_ends_with_the_users_line_and_what_it_was_doing(module, tmp_path, monkeypatch, capsys):
    name = module("fails_in_a_command", CELL.format(output="refuse(h)", limit=1000))
    command = ["capax", "probe", "jacobian", f"{name}:Careful", "--batch", "1001", "--units", "4", "--length", "6"]
    monkeypatch.setattr(sys, "argv", [*command, "--out", str(tmp_path / "probe")])
    with pytest.raises(SystemExit) as end:
        main.main()
    *own, last = capsys.readouterr().err.strip().splitlines()
    assert end.value.code == 2
    assert last == "capax: the command probe: ValueError: too many samples"
    assert 'raise ValueError("too many samples")' in "".join(own[-2:]) and "JAX has removed" not in "".join(own)
