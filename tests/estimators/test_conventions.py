"""What scikit-learn asks of every estimator, and what there is without scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.utils.estimator_checks import (
    check_estimator_cloneable,
    check_estimator_repr,
    check_estimator_tags_renamed,
    check_get_params_invariance,
    check_mixin_order,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    check_valid_tag_types,
)

import capax
from capax.estimators.base import Estimator

NAMES = ("Forecaster", "Labeller", "LanguageModel", "Seq2Seq", "SequenceClassifier")
CHECKS = (
    check_estimator_cloneable,
    check_estimator_repr,
    check_estimator_tags_renamed,
    check_get_params_invariance,
    check_mixin_order,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    check_valid_tag_types,
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_parameters_are_as_scikit_learn_wants_them(name, check):
    check(name, getattr(capax, name)())


@pytest.mark.parametrize("name", NAMES)
def test_every_estimator_has_the_parameters_of_all_and_keeps_them_as_they_are(name):
    shared = {"cells", "depth", "budget", "trials", "minutes", "steps", "random_state", "out", "verbose"}
    cells = ["gru", "rnn"]
    estimator = getattr(capax, name)(cells=cells, minutes=2.0)
    assert shared <= set(estimator.get_params())
    assert estimator.cells is cells and "minutes=2.0" in repr(estimator)
    assert clone(estimator).get_params() == estimator.get_params()


def test_only_one_class_a_sequence_is_classification():
    assert [name for name in NAMES if is_classifier(getattr(capax, name)())] == ["SequenceClassifier"]


def test_seeds_are_numbers_or_drawn():
    assert capax.Forecaster(random_state=np.int64(7))._seed() == 7 == capax.Forecaster(random_state=7)._seed()
    drawn = [capax.Forecaster(random_state=np.random.RandomState(1))._seed() for _ in range(2)]
    assert drawn[0] == drawn[1] != capax.Forecaster(random_state=np.random.RandomState(2))._seed()
    state = np.random.RandomState(1)
    assert len({capax.Forecaster(random_state=state)._seed() for _ in range(3)}) == 3
    assert issubclass(capax.Forecaster, Estimator)


def test_no_value_of_a_parameter_is_an_error_before_fit():
    code = """
import capax
from sklearn.utils import estimator_checks
for name in %r:
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params(name, getattr(capax, name)())
    print(name)
"""  # apart: in these tests, types of arguments are checked at every call
    found = subprocess.run([sys.executable, "-c", code % (NAMES,)], capture_output=True, text=True, check=True)
    assert found.stdout.split() == list(NAMES)


def test_without_scikit_learn_one_line_says_what_to_install():
    code = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "sklearn" else find(name, *rest)
sys.modules["sklearn"] = None
import capax
assert "Forecaster" not in capax.__all__ and "fit" in capax.__all__
try:
    capax.Forecaster
except capax.CapaxError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "capax's estimators need the package scikit-learn: pip install 'capax[sklearn]'.\n"
