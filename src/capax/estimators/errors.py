"""Bad input as scikit-learn expects it."""

import contextlib
from collections.abc import Iterator

from capax.errors import CapaxError, UserCodeError


class WrongInput(CapaxError, ValueError):
    """Bad input: one line, as of every `CapaxError`. It is a ValueError, too, which scikit-learn's
    searches know how to handle.
    """


@contextlib.contextmanager
def as_wrong_input() -> Iterator[None]:
    """Within it, a `CapaxError` is a `WrongInput`. Errors of a user's own code stay as they are."""
    try:
        yield
    except (WrongInput, UserCodeError):
        raise
    except CapaxError as error:
        raise WrongInput(str(error)) from None
