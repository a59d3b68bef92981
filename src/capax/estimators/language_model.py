"""A model of a text in scikit-learn's manner."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from capax.estimators import sequences
from capax.estimators.base import Estimator, write_once
from capax.estimators.errors import WrongInput, as_wrong_input
from capax.fitting.fit import CELLS
from capax.search.store import DATA

LENGTH = 300
"""Symbols that are generated where nothing is said."""


class LanguageModel(Estimator):
    """What comes next in a text, and new texts of its kind.

        model = capax.LanguageModel(minutes=3).fit(text)
        model.generate("Once upon", length=200), model.score([other_text])

    Parameters, beside those of every estimator (`capax.estimators.base.Estimator`):

    - `symbols`: "characters" or "words".
    - `window`, `warm_up`: symbols of a stretch that training reads, and how many of them are read
      before answers count; by default 100 and 20. A short text needs less.
    """

    def __init__(
        self,
        *,
        symbols: str = "characters",
        window: int | None = None,
        warm_up: int | None = None,
        cells: Sequence[str | type] = CELLS,
        depth: int = 1,
        budget: int | None = None,
        trials: int | None = None,
        minutes: float | int | None = None,
        steps: int | None = None,
        random_state: Any = 0,
        out: str | Path | None = None,
        verbose: bool = False,
    ):
        self.symbols = symbols
        self.window = window
        self.warm_up = warm_up
        self.cells = cells
        self.depth = depth
        self.budget = budget
        self.trials = trials
        self.minutes = minutes
        self.steps = steps
        self.random_state = random_state
        self.out = out
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    def fit(self, X: Any, y: Any = None) -> "LanguageModel":
        """Find and train the best network, beside n-gram models.

        The last tenth of the text is kept apart: to choose by, and for `scores_`.

        **Arguments:** `X`: a text, or a list of texts, which are put together with line breaks
        between; `y` is not read.

        Raises `WrongInput`, a `CapaxError` and a `ValueError`, for a text that is too short.
        """
        text = "\n".join(_texts(X))
        try:
            content = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise WrongInput(f"X: character {error.start} is half of a surrogate pair, and no character.") from None
        self._learn(
            "language",
            lambda directory: write_once(directory / DATA / "data.txt", content),
            symbols=self.symbols,
            window=self.window,
            warm_up=self.warm_up,
            encoding="utf-8",
        )
        return self

    def generate(
        self,
        prompt: str = "",
        *,
        length: int = LENGTH,
        temperature: float | int = 1.0,
        top_k: int | None = None,
        top_p: float | int | None = None,
        seed: int = 0,
    ) -> str:
        """A text that goes on from the prompt, without the prompt.

        **Arguments:** `length` in symbols; `temperature`, 0 for the likeliest symbol each time;
        `top_k`, of the likeliest so many; `top_p`, of the likeliest that together have this
        probability; `seed`. `model_.generate` gives the symbols as they come.

        Raises `NotFittedError` before `fit`, and `WrongInput` for what is out of range.
        """
        self._predictor()
        with as_wrong_input():
            found = self.model_.generate(
                prompt, length=length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
            )
            return "".join(found)

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the bits per character of each text, read by itself; larger is better. NaN for a
        text without characters.

        Raises `NotFittedError` before `fit`, and `WrongInput` for what is no text.
        """
        bits, characters = self._surprise(X)
        return -bits / np.where(characters > 0, characters, np.nan)

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the bits per character of a text, or of all texts together; larger is better. An
        unknown symbol counts as one, whatever it is. Raises as `score_samples`.
        """
        bits, characters = self._surprise(X)
        if not characters.sum():
            raise WrongInput("X holds no character.")
        return -float(bits.sum() / characters.sum())

    def _surprise(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """The bits and the characters of each text."""
        predictor = self._predictor()
        with as_wrong_input():
            table = predictor.predict(_texts(X))
        return table["bits"].to_numpy(np.float64), table["characters"].to_numpy(np.float64)


def _texts(X: Any) -> list[str]:
    if isinstance(X, str):
        return [X]
    if all(isinstance(text, str) for text in X):
        return list(X)
    found = sequences.given(X)
    raise WrongInput(f"X must be a text, or a list of texts, and holds {found.kind}.")
