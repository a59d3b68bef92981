"""Tables of predictions as text, and models by the directory of their fit."""

import json
import math

import pandas as pd
import pytest

from capax.cli import own
from capax.errors import CapaxError
from capax.fitting.contract import ANSWERS
from capax.fitting.loaded import model_file


def test_answers_have_the_digits_of_32_bits_and_other_columns_all_they_had(capsys):
    frame = pd.DataFrame({"own": [0.123456789012], "load q0.5": [3119.899902343], "label": ["a"]})
    frame.attrs[ANSWERS] = ["load q0.5", "label"]
    own.table(frame, None, False)
    assert capsys.readouterr().out == "own,load q0.5,label\n0.123456789012,3119.9,a\n"
    assert frame["load q0.5"][0] == 3119.899902343


def test_json_has_the_same_digits_and_zones_and_null_for_what_is_not_known(capsys):
    stamps = pd.date_range("2024-01-01", periods=2, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"time": stamps, "own": [0.123456789012, math.inf], "log probability": [-12.345678901, None]})
    frame.attrs[ANSWERS] = ["log probability"]
    own.table(frame.assign(shop=[7, 8], open=[True, False], name=["é", None]), None, True)
    assert json.loads(capsys.readouterr().out) == [
        {"time": "2024-01-01T00:00:00+01:00", "own": 0.123456789012, "log probability": -12.34568,
         "shop": 7, "open": True, "name": "é"},
        {"time": "2024-01-01T01:00:00+01:00", "own": None, "log probability": None,
         "shop": 8, "open": False, "name": None},
    ]  # fmt: skip


def test_the_directory_of_a_fit_stands_for_its_model(tmp_path):
    with pytest.raises(CapaxError, match=r"is a directory without model\.safetensors"):
        model_file(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert model_file(str(tmp_path)) == tmp_path / "model.safetensors" == model_file(tmp_path / "model.safetensors")
