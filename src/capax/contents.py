"""What results follow from beside an experiment's own words: files and code, told apart by their
content.
"""

import dataclasses
import hashlib
import io
import re
import sys
import sysconfig
import tokenize
import types
from pathlib import Path

_LEAVE_NO_MARK = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING}
_BREAKS = {tokenize.NEWLINE: "\n", tokenize.INDENT: "{", tokenize.DEDENT: "}"}


@dataclasses.dataclass(frozen=True)
class Content:
    """A file, or a text that is no file, that results follow from.

    `name`: what people call it; `sha256` and `size` (bytes) of what is in it; `path`: where it was
    when the run began, absolute, None where it is no file; `option`: the task's option that named
    it, if one did.
    """

    name: str
    sha256: str
    size: int
    path: str | None = None
    option: str | None = None


def of_bytes(name: str, content: bytes, path: Path | None = None, option: str | None = None) -> Content:
    """The content of a text, or of a file that has been read."""
    where = None if path is None else str(path.resolve())
    return Content(name, hashlib.sha256(content).hexdigest(), len(content), where, option)


def of_file(path: Path, option: str | None = None) -> Content:
    """The content of a file, which is read in parts. Raises `OSError` where it cannot be read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    return Content(path.name, digest, size, str(path.resolve()), option)


def of_code(name: str) -> tuple[Content, ...]:
    """The source files of a loaded class named `module.path:Class`, or of one made of it, such as
    `block-module.path:Class`: its own module's, and those of the modules in the same folder that it
    uses. Comments and line breaks do not count.

    Empty where there is no source, as for a class that was typed into a notebook.
    """
    found = re.search(r"([\w.]+):\w+$", name)
    module = sys.modules.get(found[1]) if found else None
    files = sorted(_own_files(module)) if module is not None else []
    return tuple(_of_source(path) for path in files)


def _own_files(module: types.ModuleType) -> set[Path]:
    """A module's file and those of the modules beside it that it uses, directly or not."""
    root, found, left = _file(module), set(), [module]
    while root is not None and left:
        path = _file(seen := left.pop())
        if path is None or path in found or not path.is_relative_to(root.parent) or _installed(path, root):
            continue
        found.add(path)
        for value in list(vars(seen).values()):
            used = (
                value
                if isinstance(value, types.ModuleType)
                else sys.modules.get(getattr(value, "__module__", None) or "")
            )
            if used is not None:
                left.append(used)
    return found


def _file(module: types.ModuleType) -> Path | None:
    path = getattr(module, "__file__", None)
    return Path(path).resolve() if path and path.endswith(".py") and Path(path).exists() else None


def _installed(path: Path, root: Path) -> bool:
    """Whether a file belongs to Python or to an installed package other than the one that is looked
    at.
    """
    places = {Path(sysconfig.get_paths()[key]).resolve() for key in ("stdlib", "purelib", "platlib")}
    return path != root and any(path.is_relative_to(place) and not root.is_relative_to(place) for place in places)


def _of_source(path: Path) -> Content:
    raw = path.read_bytes()
    try:
        tokens = tokenize.tokenize(io.BytesIO(raw).readline)
        words = [_BREAKS.get(token.type, token.string) for token in tokens if token.type not in _LEAVE_NO_MARK]
    except (tokenize.TokenError, SyntaxError):
        return of_bytes(path.name, raw, path)
    return of_bytes(path.name, "\0".join(words).encode(), path)
