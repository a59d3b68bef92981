"""Tables of predictions as text, and models by the directory of their fit."""

import json
import math

import pandas as pd
import pytest

from capax import tasks
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


@pytest.mark.parametrize(
    ("job", "content", "options", "facts", "words"),
    [
        (
            "forecast",
            "t,y,wind,day off\n" + "".join(f"{n},{n % 7},{n % 5},{n % 2}\n" for n in range(200)),
            {"target": "y", "covariates": "wind", "future": "day off", "horizon": 3},
            {"targets": ["y"], "covariates": ["wind"], "known ahead": ["day off"]},
            ["y", "wind", "day off"],
        ),
        (
            "classify",
            "x1,x2,x3,kind\n" + "".join(f"{n % 3},{n % 5},{n},k{n % 14}\n" for n in range(280)),
            {},
            {"labels": [f"k{n}" for n in sorted(range(14), key=str)], "read from": ["x1", "x2", "x3"]},
            ["14: k0, k1, k10, k11, k12, k13, k2, k3, k4, k5, k6, k7, ..", "3: x1, x2, x3"],
        ),
        (
            "translate",
            "word,sound\n" + "".join(f"{a}{b}{c},{b}{a}\n" for a in "abcd" for b in "efgh" for c in "ijkl"),
            {},
            {"source": {"name": "word", "kind": "characters", "symbols": 12},
             "target": {"name": "sound", "kind": "characters", "symbols": 8}},
            ["name word, kind characters, symbols 12", "name sound, kind characters, symbols 8"],
        ),
        ("language", "ab cd. " * 600, {}, {"vocabulary": {"kind": "characters", "symbols": 6}},
         ["kind characters, symbols 6"]),
    ],
)  # fmt: skip
def test_a_model_says_what_it_answers(tmp_path, job, content, options, facts, words):
    path = tmp_path / ("data.txt" if job == "language" else "data.csv")
    path.write_text(content)
    found = own.answered(tasks.get(job, path=str(path), **options).preprocessing())
    assert found == facts and [own._words(value) for value in found.values()] == words


def test_truth_values_and_what_there_is_not_are_words():
    assert own._words({"backwards": True, "early": False, "series": None, "labels": []}) == (
        "backwards yes, early no, series none, labels none"
    )


def test_the_directory_of_a_fit_stands_for_its_model(tmp_path):
    with pytest.raises(CapaxError, match=r"is a directory without model\.safetensors"):
        model_file(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert model_file(str(tmp_path)) == tmp_path / "model.safetensors" == model_file(tmp_path / "model.safetensors")
