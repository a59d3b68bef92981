"""Where a run runs: versions, settings, and machine, as far as the last bits of results can depend
on them.
"""

import dataclasses
import functools
import os
import platform
from importlib import metadata

from capax.training import processor
from capax.version import __version__

SETTINGS = ("XLA_FLAGS", "CAPAX_FUSED", "JAX_PLATFORMS", "JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION")
"""Environment variables that can change the bits of a result."""


@dataclasses.dataclass(frozen=True)
class Environment:
    """Versions, settings, and machine of a process that trains."""

    capax: str
    python: str
    jax: str
    jaxlib: str
    numpy: str
    optuna: str
    settings: dict[str, str]
    system: str
    machine: str
    processor: str
    instructions: str
    cores: int
    device: str


def here(device: str) -> Environment:
    """This process's environment; `device` is what JAX computes on."""
    versions = {name: version_of(name) for name in ("jax", "jaxlib", "numpy", "optuna")}
    return Environment(
        capax=__version__,
        python=platform.python_version(),
        **versions,
        settings={name: os.environ[name] for name in SETTINGS if os.environ.get(name)},
        system=platform.system(),
        machine=platform.machine(),
        processor=processor.name(),
        instructions=processor.instructions(),
        cores=processor.cores(),
        device=device,
    )


@functools.cache
def version_of(package: str) -> str:
    """The version of an installed package, without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
