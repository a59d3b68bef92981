"""What the estimators share: a fit in a directory, what it leaves behind, and pickling."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from capax.api.fitting import fit
from capax.errors import CapaxError
from capax.estimators.errors import as_wrong_input
from capax.estimators.showing import Lines
from capax.files import write_atomically
from capax.fitting.contract import Predictor
from capax.fitting.loaded import LoadedModel, load

LARGEST_SEED = 2**31 - 1
FILE = "model.safetensors"


class Estimator(BaseEstimator):
    """An estimator around `capax.fit`. Abstract: a subclass has `fit` and `predict`.

    Parameters that all have:

    - `cells`, `depth`, `budget`: networks that are compared: their cells, layers, and parameters.
    - `trials` of each cell; `minutes`, in which training is to end; `steps` of training. `None`: as
      of `capax.fit`. Give `minutes` or `steps`, not both.
    - `random_state`: a whole number, by default 0, so that the same call gives the same model; a
      `RandomState`, or None for another model each time.
    - `out`: a directory that keeps the run and its report; the same call goes on with it. `None`: a
      temporary one.
    - `verbose`: whether progress is printed.

    Attributes that all have after `fit`:

    - `model_`: the model, as `capax.load` gives it; `model_.save(path)` writes it.
    - `scores_`: a DataFrame, one row for each network and each method without a network, scored on
      a part of the training data that no choice has seen.
    - `verdict_`: the same in sentences: which is best, and whether the network is worth it.

    A pickle of an estimator holds its model as the bytes of a model file.
    """

    cells: Sequence[str | type]
    depth: int
    budget: int | None
    trials: int | None
    minutes: float | int | None
    steps: int | None
    random_state: Any
    out: str | Path | None
    verbose: bool

    model_: LoadedModel
    scores_: pd.DataFrame
    verdict_: tuple[str, ...]

    def _learn(self, job: str, put: Callable[[Path], Any], **options: Any) -> None:
        """Fit, and keep what came of it. `put`: from a directory to the file that it has written
        there, or to a DataFrame. Raises `WrongInput` for data that do not fit.
        """
        shown = Lines() if self.verbose else None
        with self._directory() as directory, as_wrong_input():
            found = fit(
                put(directory),
                job=job,
                out=directory,
                cells=self.cells,
                depth=self.depth,
                budget=self.budget,
                trials=self.trials,
                minutes=self.minutes,
                steps=self.steps,
                seed=self._seed(),
                display=shown,
                **options,
            )
            self.model_ = found.model
            self.scores_ = found.scores
            self.verdict_ = found.outcome.verdict
        if shown is not None:
            for sentence in self.verdict_:
                shown.note(sentence)

    @contextlib.contextmanager
    def _directory(self) -> Iterator[Path]:
        if self.out is not None:
            yield Path(self.out)
            return
        with tempfile.TemporaryDirectory(prefix="capax-") as made:
            yield Path(made)

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(LARGEST_SEED))

    def _predictor(self) -> Predictor:
        """What predicts. Raises `NotFittedError` before `fit`."""
        check_is_fitted(self, "model_")
        return self.model_.predictor

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {**state, "model_": _to_bytes(self.model_)} if "model_" in state else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        kept = {**state, "model_": _from_bytes(state["model_"])} if "model_" in state else state
        super().__setstate__(kept)


def write_once(path: Path, content: bytes) -> Path:
    """Write a file, unless it is there with this content: a run that goes on finds it untouched."""
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)
    return path


def _to_bytes(model: LoadedModel) -> bytes:
    with tempfile.TemporaryDirectory(prefix="capax-") as made:
        model.save(Path(made) / FILE)
        return (Path(made) / FILE).read_bytes()


def _from_bytes(content: Any) -> LoadedModel:
    if not isinstance(content, bytes):
        raise CapaxError("this is no pickle of an estimator of capax: its model is not the bytes of a model file.")
    with tempfile.TemporaryDirectory(prefix="capax-") as made:
        (Path(made) / FILE).write_bytes(content)
        return load(Path(made) / FILE)
