"""The probes by name, and what each needs: for those who ask before anything heavy is imported."""

from capax.errors import CapaxError, closest

PROBES = ("sensitivity", "landscape", "curvature", "adam", "propagation", "jacobian", "gradients", "autocorrelation")
"""Each is a module of this package with a function `measure`."""

RECURRENT = ("adam", "propagation", "jacobian")
"""Those that need a recurrence."""

OF_A_TASK = ("landscape", "curvature", "adam")
"""Those that measure a task's loss."""


def check(name: str) -> None:
    """Raise `CapaxError` for an unknown name."""
    if name not in PROBES:
        raise CapaxError(f"unknown probe '{name}'{closest(name, list(PROBES))}; choose of {', '.join(PROBES)}.")


def check_task(name: str, known: bool) -> None:
    """Raise `CapaxError` for a probe of a task's loss where none is `known`."""
    if name in OF_A_TASK and not known:
        raise CapaxError(
            f"probe {name} measures a task's loss: name a task, such as --task memory (capax list tasks), or a trained "
            "network without other data."
        )
