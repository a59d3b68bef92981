"""Models from files: a network, what is known of it, and, where it was fitted to a user's own data,
predictions of new data.
"""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from capax import jobs
from capax.errors import CapaxError
from capax.fitting import kinds
from capax.fitting.contract import Predictor
from capax.networks.network import Network
from capax.networks.streaming import Stream
from capax.training import model as files
from capax.training.model import Model

MODEL = "model.safetensors"
"""In the directory of a fit."""


@dataclasses.dataclass(frozen=True, repr=False)
class LoadedModel(Model):
    """A trained network with its card. `capax.load` gives it."""

    def __repr__(self) -> str:
        """Job, network, parameters, and what is answered, in a line."""
        card, given = self.card, self.card.preprocessing or {}
        size = sum(array.size for array in files.named_arrays(self.network).values())
        layout = given.get("layout") or {}
        named = given.get("targets") or ([layout["target"]] if "target" in layout else [])
        about = f"{self.job}: {', '.join(named)}" if named else self.job or f"task {card.task}"
        return f"<capax model, {about}; {card.cell}, {card.depth} x {card.units} units, {size:,} parameters>"

    @property
    def job(self) -> str | None:
        """What it was fitted for; None where it learned a task of capax."""
        return None if self.card.preprocessing is None else str(self.card.preprocessing["job"])

    @property
    def reads_symbols(self) -> bool:
        """Whether its inputs are symbols, one a step; else they are numbers."""
        given = self.card.preprocessing
        return given is not None and jobs.from_json(given).symbols

    @functools.cached_property
    def predictor(self) -> Predictor:
        """What predicts with it. Raises `CapaxError` where it was not fitted to a user's data."""
        given = self.card.preprocessing
        if given is None:
            raise CapaxError(
                f"this network learned the task {self.card.task}: it predicts nothing of your own data; call its network."
            )
        named = {name: self.card.task_options.get(name) for name in ("encoding", "decimal")}
        reading = given.get("reading") or {name: value for name, value in named.items() if value is not None}
        return kinds.predictor(str(given["job"]))(self.network, jobs.from_json(given), reading)

    def predict(self, data: Any, **options: Any) -> pd.DataFrame:
        """Answers to new data, beside the data's own columns: a file, a DataFrame, or what the job
        takes beside (`capax show MODEL`).

        Raises `CapaxError` for data that are not of the kind it was fitted to.
        """
        return self.predictor.predict(Path(data) if isinstance(data, str) else data, **options)

    def generate(self, prompt: str = "", **options: Any) -> Iterator[str]:
        """Symbols of a language model, as they come; options are `length`, `temperature`, `top_k`,
        `top_p`, and `seed`. Raises `CapaxError` where it is none.
        """
        generating = getattr(self.predictor, "generate", None)
        if generating is None:
            raise CapaxError(f"only a language model generates; this one's job is {self.job}.")
        return generating(prompt, **options)

    def stream(self, **options: Any) -> Any:
        """A reader of one step at a time with constant memory: `.push(x)` gives the answer after
        each step. Of a forecast `x` is a row of columns by name, the answer is that of `predict`,
        and options are its `horizon` and `quantiles`.

        Raises `CapaxError` for networks that need the whole sequence.
        """
        streaming = None if self.job is None else getattr(self.predictor, "stream", None)
        if streaming is not None:
            return streaming(**options)
        if not isinstance(self.network, Network):
            raise CapaxError(
                f"a {self.card.architecture.kind} network needs the whole sequence: it cannot read it step by step."
            )
        return Stream(self.network)

    @property
    def scores(self) -> pd.DataFrame:
        """On the evaluation part of the data that it was fitted to, with methods without a network:
        a row each.
        """
        rows = []
        for each in self.card.scores:
            row = {"name": each["name"], "kind": each["kind"]}
            for name, (value, low, high) in each["scores"].items():
                row |= {name: value, f"{name}, low": low, f"{name}, high": high}
            rows.append(row)
        return pd.DataFrame(rows)

    def save(self, path: str | Path) -> None:
        """Write the model file."""
        files.write(Path(path), self)


def model_file(path: str | Path) -> Path:
    """The file of a model, which may be given as the directory of a fit. Raises `CapaxError` for
    another directory.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    if not (path / MODEL).is_file():
        raise CapaxError(f"{path} is a directory without {MODEL}, which a fit writes at its end; name a model file.")
    return path / MODEL


def load(path: str | Path) -> LoadedModel:
    """The network of a model file, such as `models/STUDY.safetensors` in a run directory, or the
    `model.safetensors` of a fit, which may be given as its directory.

    It needs neither what the network was trained on nor a compiler; of a user's own cell it needs
    the module.

    Raises `CapaxError` for a file that is no model, is damaged, or was written by a newer capax.
    """
    found = files.load(model_file(path))
    return LoadedModel(found.network, found.card)
