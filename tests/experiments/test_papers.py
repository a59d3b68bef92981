"""Every experiment file in papers/ parses, and trains a little of everything it plans."""

from pathlib import Path

import pytest

from capax.engines.local import LocalEngine
from capax.experiments import results
from capax.experiments.design import load
from capax.experiments.plan import plan
from capax.experiments.runner import execute

FILES = sorted((Path(__file__).parents[2] / "papers").glob("*/*.toml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_valid_and_dry_runs(file, tmp_path):
    planned = plan(load(str(file), {"trials": 1, "steps": 20, "reruns": 1}))
    assert planned.experiment.name == file.stem
    execute(planned, tmp_path / "run", LocalEngine)
    assert (results.studies(*results.read(tmp_path / "run"))["trials"] == 1).all()


def test_there_are_papers():
    assert FILES
