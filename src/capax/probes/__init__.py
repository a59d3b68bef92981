"""Measurements on a network, random or trained: one file a probe, each a function `measure`.

What needs JAX is imported when it is first used: the names of the probes (`names`) do not.
"""

import importlib
from typing import TYPE_CHECKING, Any

from capax.probes.names import PROBES as PROBES

if TYPE_CHECKING:
    from capax.probes.measurement import Measurement as Measurement
    from capax.probes.registry import probe as probe
    from capax.probes.subject import Subject as Subject
    from capax.probes.subject import layer_outputs as layer_outputs

_WHERE = {
    "Measurement": "capax.probes.measurement",
    "probe": "capax.probes.registry",
    "Subject": "capax.probes.subject",
    "layer_outputs": "capax.probes.subject",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'capax.probes' has no attribute '{name}'")
    return getattr(importlib.import_module(_WHERE[name]), name)
