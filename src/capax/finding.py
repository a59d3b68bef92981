"""What a check of a cell or a task found: a value, not an exception."""

import contextlib
import dataclasses
import io
import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax

from capax import user_code
from capax.errors import CapaxWarning

Subject = TypeVar("Subject")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One check's answer.

    `message` is one line: the fault where it did not pass; where it did, empty or a caution.
    `user_traceback` is the user's own part of an error's traceback.
    """

    name: str
    passed: bool
    message: str = ""
    user_traceback: str = ""


def passed(name: str, caution: str = "") -> Finding:
    """A check that found nothing wrong."""
    return Finding(name, True, caution)


def failed(name: str, fault: str, user_traceback: str = "") -> Finding:
    """A check that found a fault."""
    return Finding(name, False, fault, user_traceback)


HINTS = (
    (
        jax.errors.TracerBoolConversionError,
        "its control flow cannot be traced: an `if`, `while`, `and` or `or` asks for the value of an array; "
        "use jnp.where or jax.lax.cond.",
    ),
    (
        (
            jax.errors.TracerArrayConversionError,
            jax.errors.TracerIntegerConversionError,
            jax.errors.ConcretizationTypeError,
        ),
        "it cannot be traced: it takes the value of an array (NumPy in place of jax.numpy, float(), int(), "
        "or an array as an index or a size).",
    ),
    (
        jax.errors.UnexpectedTracerError,
        "it keeps an array of one call on the object or in a global and reads it in another; what a step leaves to "
        "the next one belongs in the state.",
    ),
)
"""What JAX's own errors mean for the author of a cell or a task."""


def raised(name: str, what: str, error: Exception, meanings: Sequence[tuple[str, str]] = ()) -> Finding:
    """A check during which the user's code raised, with what was being done; `meanings`: words in
    an error, and what they often mean, which is said behind it.
    """
    told = user_code.blame(f"{what} raised", error)
    hint = next((hint for kind, hint in HINTS if isinstance(error, kind)), "")
    perhaps = next((f" ({meaning})" for words, meaning in meanings if words in str(error)), "")
    return failed(name, hint or f"{told}{perhaps}", told.user_traceback)


def ask(check: Callable[[Subject], Finding], subject: Subject) -> Finding:
    """A check's finding; an exception in it is one, too."""
    name = check.__name__.replace("_", " ")
    try:
        # What the user's code prints, and what loading it warns of, is not the check's answer.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", CapaxWarning)
            return check(subject)
    except Exception as error:
        return raised(name, f"the check of {name}", error)
