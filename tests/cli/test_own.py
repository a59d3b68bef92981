"""Tables of predictions as text, and models by the directory of their fit."""

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


def test_the_directory_of_a_fit_stands_for_its_model(tmp_path):
    with pytest.raises(CapaxError, match=r"is a directory without model\.safetensors"):
        model_file(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert model_file(str(tmp_path)) == tmp_path / "model.safetensors" == model_file(tmp_path / "model.safetensors")
