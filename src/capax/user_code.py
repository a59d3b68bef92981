"""A user's own code: found by `module.path:Class`, and told apart from capax where it fails."""

import contextlib
import importlib
import inspect
import os
import re
import site
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from capax.errors import CapaxError, UserCodeError, closest

MAIN = "__main__"
"""The module of a script or a notebook. A class in it is found by this name, but only there."""

TRUST = "CAPAX_TRUST"
"""The environment variable with modules that a model file may have imported."""

_CAPAX = os.path.dirname(os.path.abspath(__file__))
_LIBRARIES = tuple(
    {
        *(sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        os.path.dirname(os.path.abspath(importlib.__file__ or "")),
    }
)
_FRAME_IN_TEXT = re.compile(r'^\s*File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>.+)$', re.MULTILINE)


def is_path(name: str) -> bool:
    """Whether a name is of the form `module.path:Class`."""
    return ":" in name


def load(path: str, kind: str) -> type:
    """The class that `module.path:Class` names, from the working directory or the Python path.

    In a script or notebook `__main__:Class` names a class that is defined there.

    **Arguments:** `kind`: what it is to be, for messages: "cell", "task".

    Raises `CapaxError` where there is no such class; `UserCodeError` where its module raises.
    """
    return _find(path, kind, "class", inspect.isclass)


def check_trusted(path: str, kind: str) -> None:
    """Raise `CapaxError` where a data file would have code imported that its reader did not name:
    the module of a `module.path:Class` must have been imported before, or be named in CAPAX_TRUST,
    with commas between several.
    """
    module = path.partition(":")[0]
    named = [name.strip() for name in os.environ.get(TRUST, "").split(",")]
    if is_path(path) and module not in sys.modules and module not in named:
        raise CapaxError(
            f"the {kind} {path!r} is code of your own, and no file may start code: if you trust the module {module}, "
            f"import it first, or name it in the environment: {TRUST}={module}"
        )


def load_function(path: str, kind: str) -> Callable[..., Any]:
    """The function that `module.path:function` names. Otherwise as `load`."""
    return _find(path, kind, "function", inspect.isfunction)


def beside(thing: Any, name: str) -> Any:
    """What the module of a user's class or function has by another name; None where it has
    nothing.
    """
    return vars(sys.modules[thing.__module__]).get(name)


def _find(path: str, kind: str, what: str, suits: Callable[[Any], bool]) -> Any:
    module_name, _, name = path.partition(":")
    if not name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise CapaxError(f"{kind} '{path}' is not of the form module.path:{'Class' if what == 'class' else what}.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise CapaxError(f"{kind} '{path}': there is no module '{error.name}' here or on PYTHONPATH.") from None
        raise blame(f"{kind} '{path}': importing {module_name} failed", error) from error
    found = getattr(module, name, None)
    if suits(found):
        return found
    if module_name == MAIN:
        raise CapaxError(
            f"{kind} '{path}' belongs to a script or notebook and is found there alone; "
            f"run it from there, or move {name} into a module and name that."
        )
    if what == "class" and inspect.isfunction(found):
        raise CapaxError(f"{kind} '{path}' is a function; a probe is called by `capax probe {path}`.")
    own = [key for key, value in vars(module).items() if suits(value) and value.__module__ == module_name]
    raise CapaxError(
        f"{kind} '{path}': module {module_name} has no {what} '{name}'{closest(name, own)}; "
        f"it defines {', '.join(own) or 'none'}."
    )


def path_of(thing: type, kind: str) -> str:
    """The `module.path:Class` by which `load` finds a class again. Raises `CapaxError` where it
    would not.
    """
    module, name = thing.__module__, thing.__qualname__
    if getattr(sys.modules.get(module), name, None) is not thing:
        raise CapaxError(
            f"{kind} {name} cannot be found again by its name, which a run needs; "
            f"define it at the top of a module, script, or notebook."
        )
    return f"{module}:{name}"


def is_users(thing: type) -> bool:
    """Whether a class comes from neither capax nor a library."""
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    return thing.__module__ == MAIN or (file is not None and not _is_library(file))


def blame(what: str, error: BaseException) -> UserCodeError:
    """An error that says what capax was doing, and carries the user's own part of the traceback."""
    frames, reason = _user_frames(error), f"{type(error).__name__}: {_first_line(str(error))}"
    if not frames and _FRAME_IN_TEXT.search(str(error)):
        frames, reason = _user_frames_of_text(str(error))
    return UserCodeError(f"{what}: {reason}", "".join(traceback.format_list(frames)))


def explained(what: str, error: BaseException) -> BaseException:
    """The error to raise in place of `error`: with the user's own lines where it came from there,
    else itself.
    """
    if isinstance(error, CapaxError) or not isinstance(error, Exception):
        return error
    blamed = blame(what, error)
    if not blamed.user_traceback:
        return error
    blamed.__cause__ = error
    return blamed


@contextlib.contextmanager
def explaining(what: str) -> Iterator[None]:
    """An error of the user's code inside is told as such, with what capax was doing; all others
    pass.
    """
    try:
        yield
    except Exception as error:
        told = explained(what, error)
        if told is error:
            raise
        raise told from error


def _user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    return _users_own(list(traceback.extract_tb(error.__traceback__)))


def _user_frames_of_text(text: str) -> tuple[list[traceback.FrameSummary], str]:
    """The user's frames and the reason from a traceback in a message: of a callback, XLA keeps the
    text alone.
    """
    found = list(_FRAME_IN_TEXT.finditer(text))
    frames = [traceback.FrameSummary(part["file"], int(part["line"]), part["function"]) for part in found]
    return _users_own(frames), _first_line(text[found[-1].end() :])


def _users_own(frames: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """The frames below capax's first (whoever calls capax is not to blame) that are neither capax's
    nor a library's.
    """
    first = next((number for number, frame in enumerate(frames) if _inside(frame.filename, (_CAPAX,))), 0)
    return [frame for frame in frames[first:] if not _is_library(frame.filename)]


def _is_library(file: str) -> bool:
    return file.startswith(("<frozen", "<@")) or _inside(file, (_CAPAX, *_LIBRARIES))


def _inside(file: str, folders: tuple[str, ...]) -> bool:
    return os.path.abspath(file).startswith(tuple(folder + os.sep for folder in folders))


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0] if lines else "no message"
