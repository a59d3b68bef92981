"""For each job: what makes its contenders and scores, what predicts, and how its networks are
trained.
"""

import dataclasses
import importlib
from typing import Any

from capax.fitting.contract import Fitting, Predictor
from capax.tasks.from_file import FromFile


@dataclasses.dataclass(frozen=True)
class Kind:
    """`fitting`, `predictor`: module and class. `budget`: parameters, where the user does not say;
    `steps`: training steps, where there is no limit of time.
    """

    fitting: str
    predictor: str
    budget: int
    steps: int


KINDS: dict[str, Kind] = {
    "forecast": Kind("forecast:ForecastFitting", "forecast:ForecastPredictor", 10_000, 4000),
    "classify": Kind("classify:ClassifyFitting", "classify:ClassifyPredictor", 10_000, 2000),
    "label": Kind("label:LabelsFitting", "label:LabelsPredictor", 50_000, 2000),
    "translate": Kind("translate:TranslateFitting", "translate:TranslatePredictor", 100_000, 8000),
    "language": Kind("language:LanguageFitting", "language:LanguagePredictor", 50_000, 4000),
}


def _found(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(f"capax.fitting.{module}"), attribute)


def fitting(job: str, task: FromFile[Any]) -> Fitting[Any, Any]:
    """What knows the contenders and scores of a job."""
    return _found(KINDS[job].fitting)(task)


def predictor(job: str) -> type[Predictor]:
    """What predicts with a model of a job."""
    return _found(KINDS[job].predictor)


def hyperparameters(job: str) -> dict[str, Any]:
    """What is fixed, and ranges of what is tuned, in place of those of the first source."""
    low, high = (3e-4, 1e-2) if job == "forecast" else (1e-3, 2e-2)
    learning_rate = {"low": low, "high": high}
    dropout = {"low": 0.1, "high": 0.4} if job == "translate" else {"low": 0.0, "high": 0.5}
    return {
        "optimiser": "adam",
        "schedule": "cosine",
        "learning_rate": learning_rate,
        "learning_rate_decay": 0.01,
        "gradient_clip": 1.0,
        "dropout": dropout,
    }


TUNE = ("learning_rate", "dropout")
