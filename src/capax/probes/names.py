"""The probes by name, and what each needs: for those who ask before anything heavy is imported."""

from capax import user_code
from capax.errors import CapaxError, closest

PROBES = ("sensitivity", "landscape", "curvature", "adam", "propagation", "jacobian", "gradients", "autocorrelation")
"""Each is a module of this package with a function `measure`."""

RECURRENT = ("adam", "propagation", "jacobian")
"""Those that need a recurrence."""

OF_A_TASK = ("landscape", "curvature", "adam")
"""Those that measure a task's loss."""


def check(name: str) -> None:
    """Raise `CapaxError` for a name that is neither a built-in probe's nor
    `module.path:function`.
    """
    if name not in PROBES and not user_code.is_path(name):
        raise CapaxError(
            f"unknown probe '{name}'{closest(name, list(PROBES))}; choose of {', '.join(PROBES)}, "
            "or name your own as module.path:function."
        )


def check_task(name: str, known: bool) -> None:
    """Raise `CapaxError` for a probe of a task's loss where none is `known`."""
    if name in OF_A_TASK and not known:
        raise CapaxError(
            f"probe {name} measures a task's loss: name a task, such as --task memory (capax list tasks), or a trained "
            "network without other data."
        )
