"""From a file to a model: the whole way on small data, gone on with, and without leakage."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import capax
from capax.cli import main as cli
from capax.errors import CapaxError
from capax.fitting import asking, going_on, outcome, pace
from capax.fitting.fit import Wishes
from capax.training import model

SMALL = {"cells": ["gru"], "budget": 300, "trials": 2, "steps": 30}
OPTIONS = {"target": "sales", "horizon": 6, "context": 24}


def sales(hours=600, seed=0):
    """Hourly numbers with a daily season."""
    time = pd.date_range("2024-01-01", periods=hours, freq="h")
    noise = np.random.default_rng(seed).normal(size=hours)
    return pd.DataFrame({"time": time, "sales": 10 + 3 * np.sin(np.arange(hours) * 2 * np.pi / 24) + 0.3 * noise})


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    sales().to_csv(folder / "sales.csv", index=False)
    return capax.fit(folder / "sales.csv", out=folder / "run", **SMALL, **OPTIONS)


def test_networks_and_methods_without_one_stand_in_one_table_with_intervals(fitted):
    scores = fitted.scores.set_index("name")
    assert list(scores["kind"]) == ["network"] * 2 + ["baseline"] * 5
    assert {"persistence", "seasonal naive (24)", "linear autoregression", "exponential smoothing"} < set(scores.index)
    assert (scores["MAE, low"] < scores["MAE"]).all() and (scores["MAE"] < scores["MAE, high"]).all()
    assert list(scores.index[:2]) == ["gru", "gru + linear regression"]
    assert (scores["parameters"].iloc[:2] <= 300).all()
    naive = scores.loc["seasonal naive (24)", "MAE"]
    assert 0.25 < naive < 0.45  # two independent normal errors of .3: their mean distance is .339


def test_the_verdict_comes_first_and_the_page_shows_it(fitted):
    page = fitted.report.read_text(encoding="utf-8")
    verdict = fitted.outcome.verdict[0]
    assert "gru" in verdict and "MAE" in verdict
    assert page.index(verdict[:40]) < page.index("How the networks were found")
    assert f"The network that is kept, {fitted.outcome.chosen}, was chosen on the validation part." in page
    assert "pinball loss [95%], unit of sales" in page and "scaled pinball loss on the evaluation data" in page
    assert page.replace("scaled pinball loss", "").count(" pinball loss [95%]<") == 0
    for number in (1, 2, 3, 4):
        assert f"<b>Figure {number}.</b>" in page
    assert "time: &#39;time&#39;" in page and "capax predict" in page
    assert page.count("<img") == page.count('alt="') and "http" not in page.split("</style>")[1].replace(
        "http-equiv", ""
    )


def test_the_same_call_goes_on_and_changes_nothing(fitted):
    before = (fitted.directory / "model.safetensors").read_bytes()
    again = capax.fit(fitted.directory.parent / "sales.csv", out=fitted.directory, **SMALL, **OPTIONS)
    assert (fitted.directory / "model.safetensors").read_bytes() == before
    pd.testing.assert_frame_equal(again.scores, fitted.scores)


def test_the_stream_that_the_page_shows_runs_and_says_what_a_prediction_says(fitted, tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")
    (shown,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "stream" in code]
    sales().to_csv(tmp_path / "sales.csv", index=False)
    fitted.save(tmp_path / "sales.safetensors")
    monkeypatch.chdir(tmp_path)
    exec(shown, {})
    assert capsys.readouterr().out == f"0\n{fitted.predict(tmp_path / 'sales.csv')}\n"


def test_other_data_are_not_mixed_in(fitted, tmp_path):
    sales(seed=1).to_csv(tmp_path / "sales.csv", index=False)
    with pytest.raises(CapaxError, match="another content"):
        capax.fit(tmp_path / "sales.csv", out=fitted.directory, **SMALL, **OPTIONS)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"horizon": None}, "--horizon was 6, and is not given now; give it as before to go on with it"),
        (
            {"horizon": 7, "season": 5},
            "--horizon was 6, and is 7 now; --set season was not given, and is 5 now; give them",
        ),
        ({"context": 25}, "--set context was 24, and is 25 now"),
        ({"reference": "anchor"}, "--set reference was not given, and is anchor now"),
        ({"budget": 200}, "--budget was 300, and is 200 now"),
        ({"trials": 3}, "--trials was 2, and is 3 now"),
        ({"steps": 31}, "--steps was 30, and is 31 now"),
        ({"depth": 2, "seed": 1}, "--depth was 1, and is 2 now; --seed was 0, and is 1 now"),
        ({"cells": ["lstm"]}, r"--cells was gru, and is lstm now; give it as before \(more cells may be named\)"),
    ],
)
def test_a_changed_option_is_said_as_the_command_line_has_it(fitted, changed, said):
    with pytest.raises(CapaxError) as caught:
        capax.fit(fitted.directory.parent / "sales.csv", out=fitted.directory, **{**SMALL, **OPTIONS, **changed})
    line = str(caught.value)
    assert "null" not in line and "None" not in line and "\n" not in line and line.endswith("with --out.")
    assert re.search(said, line)


def test_another_job_is_said_and_not_what_follows_from_it(fitted):
    with pytest.raises(CapaxError, match=r"--job was forecast, and is language now; give it as before to go on"):
        capax.fit(fitted.directory.parent / "sales.csv", job="language", out=fitted.directory, **SMALL)


def test_options_are_said_as_the_command_line_knows_them():
    known = {name for name in inspect.signature(cli.fit).parameters} - set(inspect.signature(capax.fit).parameters)
    assert set(going_on.OPTIONS) == (known | {"target"}) - {"set_", "as_json"}


def test_the_future_has_no_say_in_training_and_choice(fitted, tmp_path):
    """The last tenth shuffled: everything that was trained and chosen is bitwise the same."""
    table = sales()
    last = slice(len(table) - len(table) // 10, None)
    table.loc[table.index[last], "sales"] = np.random.default_rng(5).permutation(table["sales"].to_numpy()[last])
    table.to_csv(tmp_path / "sales.csv", index=False)
    other = capax.fit(tmp_path / "sales.csv", out=tmp_path / "run", **SMALL, **OPTIONS)
    one, two = (model.read(each.directory / "model.safetensors") for each in (fitted, other))
    assert one[1].keys() == two[1].keys()
    for name, array in one[1].items():
        np.testing.assert_array_equal(array, two[1][name])
    for fact in ("preprocessing", "hyperparameters", "validation", "seed"):
        assert getattr(one[0], fact) == getattr(two[0], fact)
    assert one[0].evaluation != two[0].evaluation


def test_a_model_predicts_to_the_bit_the_same_in_a_new_process(fitted, tmp_path):
    here = fitted.predict(sales())
    code = (
        "import sys, pandas as pd, capax; model = capax.load(sys.argv[1]); "
        "model.predict(sys.argv[2]).to_parquet(sys.argv[3])"
    )
    data = fitted.directory.parent / "sales.csv"
    files = [str(fitted.directory / "model.safetensors"), str(data), str(tmp_path / "there.parquet")]
    subprocess.run([sys.executable, "-c", code, *files], check=True)
    pd.testing.assert_frame_equal(pd.read_parquet(files[2]), here, check_exact=True, check_dtype=False)
    assert list(here["step"]) == list(range(1, 7)) and here["time"].iloc[0] == pd.Timestamp("2024-01-26")


def test_a_saved_model_has_its_scores_and_comes_back(fitted, tmp_path):
    fitted.save(tmp_path / "m.safetensors")
    found = capax.load(tmp_path / "m.safetensors")
    assert found.job == "forecast" and list(found.scores["name"]) == list(fitted.scores["name"])
    pd.testing.assert_frame_equal(found.predict(sales()), fitted.predict(sales()))


def test_the_commands_predict_and_show(fitted, tmp_path, capsys, monkeypatch):
    path, data = str(fitted.directory / "model.safetensors"), str(fitted.directory.parent / "sales.csv")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["capax", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr()

    code, said = run("predict", path, data, "--quantiles", ".1,.9", "--horizon", "2")
    lines = said.out.splitlines()
    assert code == 0 and lines[0] == "time,step,sales q0.1,sales q0.9" and len(lines) == 3
    code, said = run("predict", path, data, "--out", str(tmp_path / "f.parquet"), "--json")
    assert code == 0 and json.loads(said.out)["rows"] == 6 and len(pd.read_parquet(tmp_path / "f.parquet")) == 6
    code, said = run("show", path, "--json")
    facts = json.loads(said.out)
    assert code == 0 and facts["job"] == "forecast" and facts["parameters"] <= 300 and "sales.csv" in facts["fitted to"]
    code, said = run("generate", path)
    assert code == 2 and said.err.startswith("capax: only a language model generates")
    code, said = run("fit", data, "--minutes", "0")
    assert code == 2 and "minutes must be above 0" in said.err


def test_a_fit_that_is_not_finished_says_so(tmp_path):
    with pytest.raises(CapaxError, match="holds no finished fit"):
        outcome.read(tmp_path)


def test_wishes_that_contradict_each_other_are_one_line():
    with pytest.raises(CapaxError, match="give minutes or steps, and not both"):
        Wishes(minutes=1.0, steps=10)


def test_a_dataframe_is_written_once_with_its_index(tmp_path):
    indexed = sales(30).set_index("time")
    path = asking.as_file(indexed, tmp_path)
    assert list(pd.read_parquet(path)) == ["time", "sales"]
    with pytest.raises(CapaxError, match="a path of a file or a pandas DataFrame, not int"):
        asking.as_file(3, tmp_path)


def test_a_dataframe_is_fitted_and_the_same_call_goes_on(tmp_path):
    small = {**SMALL, **OPTIONS, "trials": 1, "steps": 20, "out": tmp_path / "run"}
    first = capax.fit(sales(300).set_index("time"), **small)
    written = (tmp_path / "run" / "model.safetensors").read_bytes()
    again = capax.fit(sales(300).set_index("time"), **small)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == written
    assert again.outcome.contenders == first.outcome.contenders
    assert len(again.predict(sales(300))) == OPTIONS["horizon"]


@pytest.mark.parametrize(
    ("trials", "reruns", "whole"), [(1, 0, 1.0), (9, 2, 9 * (1 / 32 + 3 / 32 / 3 + 3 / 8 / 9 + 1 / 2 / 9) + 2)]
)
def test_trainings_with_halving_are_counted(trials, reruns, whole):
    assert pace.trainings(trials, reruns) == pytest.approx(whole)
