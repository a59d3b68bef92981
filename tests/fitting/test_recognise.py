"""What a file is taken for."""

import re

import numpy as np
import pandas as pd
import pytest

from capax.errors import CapaxError
from capax.fitting.recognise import recognise

TEXT = "Call me Ishmael.\nSome years ago.\n"
WORDS = ["red", "green", "blue", "grey", "black", "white", "pink", "brown"]


def table(path, columns):
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def forecast(folder):
    return table(folder / "a.csv", {"date": pd.date_range("2024-01-01", periods=30), "sales": np.arange(30.0)})


def numbers_alone(folder):
    return table(folder / "a.csv", {"a": np.arange(30.0), "b": np.sin(np.arange(30))})


def forecast_with_words(folder):
    days = pd.date_range("2024-01-01", periods=30)
    return table(folder / "a.csv", {"day": days, "sales": np.arange(30.0), "weather": ["sun", "rain"] * 15})


def texts_with_labels(folder):
    texts = [f"{WORDS[n % 8]} and {WORDS[n // 8 % 8]} number {n}" for n in range(60)]
    return table(folder / "a.csv", {"text": texts, "mood": ["good", "bad", "so"] * 20})


def pairs(folder):
    words = [f"{WORDS[n % 8]}{WORDS[n // 8 % 8]}" for n in range(60)]
    return table(folder / "a.csv", {"word": words, "sound": [" ".join(word.upper()) for word in words]})


def sequences_with_labels(folder):
    series = np.repeat([f"s{n}" for n in range(8)], 5)
    kinds = np.repeat(["up", "down"] * 4, 5)
    return table(folder / "a.csv", {"series": series, "x": np.arange(40.0) ** 1.5 % 7, "kind": kinds})


def steps_with_labels(folder):
    series = np.repeat([f"s{n}" for n in range(8)], 5)
    return table(folder / "a.csv", {"series": series, "word": WORDS * 5, "tag": ["N", "V", "N", "A", "N"] * 8})


def rows_with_labels(folder):
    values = {f"t{n}": np.arange(30.0) * n % 5 for n in range(6)}
    return table(folder / "a.csv", {"gesture": ["wave", "nod", "bow"] * 10, **values})


def conllu(folder):
    (folder / "a.conllu").write_text("1\tGo\tgo\tVERB\t_\t_\t0\troot\t_\t_\n\n")
    return folder / "a.conllu"


def text(folder):
    (folder / "a.txt").write_text(TEXT)
    return folder / "a.txt"


def npy(folder):
    np.save(folder / "a.npy", np.zeros((30, 2)))
    return folder / "a.npy"


def npz_with_labels(folder):
    np.savez(folder / "a.npz", X=np.zeros((6, 5, 2)), y=np.array(["a", "b"] * 3))
    return folder / "a.npz"


def npz_with_labels_of_steps(folder):
    np.savez(folder / "a.npz", values=np.zeros((30, 2)), offsets=np.arange(0, 31, 5), labels=np.arange(30) % 3)
    return folder / "a.npz"


@pytest.mark.parametrize(
    ("make", "job"),
    [
        (forecast, "forecast"),
        (numbers_alone, "forecast"),
        (forecast_with_words, "forecast"),
        (npy, "forecast"),
        (texts_with_labels, "classify"),
        (sequences_with_labels, "classify"),
        (rows_with_labels, "classify"),
        (npz_with_labels, "classify"),
        (npz_with_labels_of_steps, "label"),
        (steps_with_labels, "label"),
        (conllu, "label"),
        (pairs, "translate"),
        (text, "language"),
    ],
)
def test_a_file_is_taken_for_its_job_and_it_is_said_how_to_say_otherwise(tmp_path, make, job):
    found = recognise(make(tmp_path), None, {})
    assert found.job == job
    assert found.why.startswith(f"job: {job} (") and "otherwise: --job" in found.why


def test_a_named_job_is_taken_without_a_word(tmp_path):
    assert recognise(text(tmp_path), "translate", {}).why == ""


def test_a_target_of_words_asks_for_labels(tmp_path):
    assert recognise(forecast_with_words(tmp_path), None, {"target": "weather"}).job == "classify"


def test_a_target_of_numbers_tells_no_series_apart(tmp_path):
    days = pd.date_range("2024-01-01", periods=60).repeat(2)
    path = table(tmp_path / "a.csv", {"day": days, "shop": [1, 2] * 60, "sold": np.arange(120) + 1000})
    assert recognise(path, None, {"target": "sold"}).job == "forecast"


@pytest.mark.parametrize("options", [{}, {"target": "y"}])
@pytest.mark.parametrize("cell", ["5.0{} €", "$ 1,2{}", "-1{} %", "1{} EUR", "€{}.50"])
def test_numbers_with_a_sign_are_no_labels_but_named(tmp_path, options, cell):
    cells = [cell.format(n) for n in range(10, 40)]
    path = table(tmp_path / "a.csv", {"day": pd.date_range("2024-01-01", periods=30), "y": cells})
    with pytest.raises(CapaxError, match=f"'{re.escape(cells[0])}' in column 'y' is no number; take the sign away"):
        recognise(path, None, options)


def test_names_with_a_number_may_be_labels(tmp_path):
    texts = [f"{WORDS[n % 8]} and {WORDS[n // 8 % 8]} number {n}" for n in range(60)]
    path = table(tmp_path / "a.csv", {"text": texts, "shelf": ["SKU1", "SKU2", "SKU3"] * 20})
    assert recognise(path, None, {}).job == "classify"


def test_how_to_go_on_is_said_where_a_column_may_be_labels(tmp_path):
    texts = [f"{WORDS[n % 8]} and {WORDS[n // 8 % 8]} number {n}" for n in range(60)]
    path = table(tmp_path / "a.csv", {"id": np.arange(60), "message": texts, "class": ["good", "bad", "so"] * 20})
    with pytest.raises(CapaxError, match=r"is to be predicted, such as --target class[.]"):
        recognise(path, None, {})
    assert recognise(path, None, {"target": "class"}).job == "classify"


@pytest.mark.parametrize(
    ("make", "given", "says"),
    [
        (text, "forcast", "unknown job 'forcast' .did you mean 'forecast'"),
        (lambda folder: folder / "none.csv", None, "there is no file"),
        (
            lambda folder: table(folder / "a.csv", {"only": WORDS}),
            None,
            "cannot be told from its columns .only.; say it",
        ),
    ],
)
def test_what_is_no_job_is_one_line(tmp_path, make, given, says):
    with pytest.raises(CapaxError, match=says):
        recognise(make(tmp_path), given, {})
