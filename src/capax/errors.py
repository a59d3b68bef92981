"""The one exception that means "the input is wrong": its text is the line a person reads."""


class CapaxError(Exception):
    """Bad input: one line saying what is wrong, where, and what to do. The command line prints it
    and exits with code 2.
    """


class CapaxWarning(UserWarning):
    """What may be meant, and may be a fault: one line. The command line prints it and goes on."""


class TooSmall(CapaxError):
    """A budget in which no network of a cell and depth fits."""


def closest(word: str, known: list[str]) -> str:
    """`" (did you mean 'gru'?)"` where one of `known` is close to `word`, else the empty string."""
    import difflib

    matches = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean '{matches[0]}'?)" if matches else ""


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """1 step, 2,000 steps; `nouns` where the plural is another word: 2 series."""
    return f"1 {noun}" if number == 1 else f"{number:,} {nouns or f'{noun}s'}"


class UserCodeError(CapaxError):
    """A user's own code failed or broke a contract: the line, and the part of the traceback that is
    the user's.
    """

    def __init__(self, line: str, user_traceback: str = ""):
        super().__init__(line)
        self.user_traceback = user_traceback
