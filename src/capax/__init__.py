"""capax: a measuring bench for recurrent sequence models.

    capax.size("gru", budget=10_000, inputs=27, outputs=27)
    capax.Network.create("gru", inputs=27, outputs=27, budget=10_000, key=key)
    capax.tasks.get("text").batch(key, 32)
    capax.run("capacity", out="runs/c", cells=["rnn"], budgets=[1000], trials=64)

Everything is imported when it is first used, so that `import capax` (and `capax --help`) costs
nothing. JAX should be loaded after capax, which sets a flag without which JAX 0.10.2 gets some sums
wrong.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from capax.training import backend
from capax.version import __version__ as __version__

backend.set_flags(backend.RIGHT_SUMS)  # before JAX is loaded, whoever loads it

if TYPE_CHECKING:
    from capax import cells as cells
    from capax import interop as interop
    from capax import networks as networks
    from capax import probes as probes
    from capax import search as search
    from capax import tasks as tasks
    from capax import testing as testing
    from capax import theory as theory
    from capax.api.costing import complexity as complexity
    from capax.api.costing import cost as cost
    from capax.api.fitting import fit as fit
    from capax.api.probing import probe as probe
    from capax.api.running import run as run
    from capax.cells import Affine as Affine
    from capax.cells import Cell as Cell
    from capax.cells import Demands as Demands
    from capax.cells import Layer as Layer
    from capax.cells import LinearCell as LinearCell
    from capax.cells import SequenceLayer as SequenceLayer
    from capax.cells import Wiring as Wiring
    from capax.cells import affine as affine
    from capax.cells import column as column
    from capax.cells import forget_bias as forget_bias
    from capax.cells import hyperparameter as hyperparameter
    from capax.cells import layer_norm as layer_norm
    from capax.cells import sigmoid as sigmoid
    from capax.errors import CapaxError as CapaxError
    from capax.estimators import Forecaster as Forecaster
    from capax.estimators import Labeller as Labeller
    from capax.estimators import LanguageModel as LanguageModel
    from capax.estimators import Seq2Seq as Seq2Seq
    from capax.estimators import SequenceClassifier as SequenceClassifier
    from capax.fitting.loaded import load as load
    from capax.networks import Bidirectional as Bidirectional
    from capax.networks import EncoderDecoder as EncoderDecoder
    from capax.networks import Network as Network
    from capax.networks import size as size

_WHERE = {
    "cells": "capax.cells",
    "interop": "capax.interop",
    "networks": "capax.networks",
    "probes": "capax.probes",
    "search": "capax.search",
    "tasks": "capax.tasks",
    "testing": "capax.testing",
    "theory": "capax.theory",
    "fit": "capax.api.fitting:fit",
    "load": "capax.fitting.loaded:load",
    "probe": "capax.api.probing:probe",
    "run": "capax.api.running:run",
    "Cell": "capax.cells:Cell",
    "Layer": "capax.cells:Layer",
    "LinearCell": "capax.cells:LinearCell",
    "SequenceLayer": "capax.cells:SequenceLayer",
    "Demands": "capax.cells:Demands",
    "Wiring": "capax.cells:Wiring",
    "Bidirectional": "capax.networks:Bidirectional",
    "EncoderDecoder": "capax.networks:EncoderDecoder",
    "Affine": "capax.cells:Affine",
    "affine": "capax.cells:affine",
    "column": "capax.cells:column",
    "layer_norm": "capax.cells:layer_norm",
    "forget_bias": "capax.cells:forget_bias",
    "hyperparameter": "capax.cells:hyperparameter",
    "sigmoid": "capax.cells:sigmoid",
    "CapaxError": "capax.errors:CapaxError",
    "Network": "capax.networks:Network",
    "size": "capax.networks:size",
    "complexity": "capax.api.costing:complexity",
    "cost": "capax.api.costing:cost",
}
_ESTIMATORS = ("Forecaster", "Labeller", "LanguageModel", "Seq2Seq", "SequenceClassifier")
"""They need scikit-learn; without it the names are not listed, and say what to install."""
_WHERE |= {name: f"capax.estimators:{name}" for name in _ESTIMATORS}
_HERE = [name for name in _WHERE if name not in _ESTIMATORS or importlib.util.find_spec("sklearn") is not None]
__all__ = ["__version__", *_HERE]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'capax' has no attribute '{name}'")
    module, _, attribute = _WHERE[name].partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return sorted(__all__)
