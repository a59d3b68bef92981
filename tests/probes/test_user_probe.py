"""A probe from outside the package: a function by module.path:function, with a figure or
without.
"""

import textwrap

import numpy as np
import pytest

import capax
from capax.errors import CapaxError, UserCodeError

MODULE = """
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from capax.probes import Measurement, layer_outputs


def largest(subject, *, power: int = 1):
    '''The largest output of each layer.'''
    peaks = [float(np.max(np.abs(np.asarray(o)))) ** power for o in layer_outputs(subject.network, subject.inputs)]
    frame = pd.DataFrame({"layer": range(len(peaks)), "peak": peaks})
    return Measurement("largest", subject.describe(), {"peak": max(peaks)}, frame)


def nothing(subject):
    return 3


def no_frame(subject):
    made = Measurement("no_frame", subject.describe(), {}, pd.DataFrame({"peak": [1.0]}))
    object.__setattr__(made, "frame", {"peak": [1.0]})  # types are checked in tests, and only there
    return made


def no_number(subject):
    return Measurement("no_number", subject.describe(), {"peak": np.ones(2)}, pd.DataFrame({"peak": [1.0]}))


def no_subject():
    return 3


def fails(subject):
    raise ArithmeticError("no number")
"""
DRAW = """

def draw(measurement):
    figure = Figure()
    figure.subplots().plot(measurement.frame["layer"], measurement.frame["peak"])
    return figure
"""


@pytest.fixture
def module(tmp_path, monkeypatch, request):
    name = f"outside_{abs(hash(request.node.name))}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return name

    return write


SMALL = {"units": 3, "depth": 2, "length": 5, "batch": 2}


def test_a_users_probe_measures_and_leaves_its_numbers_and_its_figure(module, tmp_path):
    name = module(MODULE + DRAW)
    report = capax.probe(f"{name}:largest", "rnn", out=tmp_path / "out", power=2, **SMALL)
    assert 0 < report.summary["peak"] <= 1
    assert np.isclose(report.frame["peak"].max(), report.summary["peak"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{name}_largest.{suffix}" for suffix in ("csv", "json", "svg", "png")
    }


def test_without_a_function_draw_there_is_no_figure(module, tmp_path):
    name = module(MODULE)
    report = capax.probe(f"{name}:largest", "gru", out=tmp_path / "out", **SMALL)
    assert report.figure is None
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".csv", ".json"}
    assert report.files == f"table, numbers: {tmp_path / 'out'}/{name}_largest.csv, .json"


def test_what_is_wrong_with_a_users_probe_is_said_in_one_line(module):
    name = module(MODULE)
    with pytest.raises(CapaxError, match=r"must return a capax.probes.Measurement, not int"):
        capax.probe(f"{name}:nothing", "rnn", **SMALL)
    with pytest.raises(CapaxError, match=r"its frame must be a pandas.DataFrame, not a dict"):
        capax.probe(f"{name}:no_frame", "rnn", **SMALL)
    with pytest.raises(CapaxError, match=r"'peak' of its summary is a ndarray; write numbers"):
        capax.probe(f"{name}:no_number", "rnn", **SMALL)
    with pytest.raises(CapaxError, match=r"must take a `subject`"):
        capax.probe(f"{name}:no_subject", "rnn", **SMALL)
    with pytest.raises(CapaxError, match=r"option power must be a whole number, as its default 1 is, not 'a'"):
        capax.probe(f"{name}:largest", "rnn", power="a", **SMALL)
    with pytest.raises(UserCodeError, match=r"failed: ArithmeticError: no number"):
        capax.probe(f"{name}:fails", "rnn", **SMALL)
    with pytest.raises(CapaxError, match=r"has no function 'largst' .did you mean 'largest'"):
        capax.probe(f"{name}:largst", "rnn", **SMALL)
    with pytest.raises(CapaxError, match=r"has no option 'powr' .did you mean 'power'"):
        capax.probe(f"{name}:largest", "rnn", powr=2, **SMALL)
