"""Tasks whose data are a user's own file, known by its content."""

import abc
import collections
import dataclasses
import functools
from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

from capax import contents
from capax.contents import Content
from capax.errors import CapaxError
from capax.jobs.preparation import Preparation
from capax.tasks.task import Task


@runtime_checkable
class Prepared(Protocol):
    """What a job makes of a file: arrays of its three parts, and what was learned of the training
    part (`preparation`); `notes`, what the file was taken for, a sentence each.
    """

    @property
    def preparation(self) -> Preparation: ...

    @property
    def notes(self) -> tuple[str, ...]: ...


Kind = TypeVar("Kind", bound=Prepared)

_PREPARED: collections.OrderedDict[Hashable, Any] = collections.OrderedDict()
MOST_PREPARED = 4
"""So many prepared files are kept, the last ones used."""
EMBEDDING = 16
"""Features that a symbol becomes."""


@dataclasses.dataclass(frozen=True)
class FromFile(Task, Generic[Kind]):
    """A subclass says how its file is read and prepared (`prepare`); what it made is kept by the
    file's content.

    Options: `path`, the file; `sha256` of its bytes, filled in where it is not given, and else held
    to: a run that goes on must find its data as they were.
    """

    own_data: ClassVar[bool] = True

    path: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.path:
            raise CapaxError(f"task {self.name} needs a file of yours: {self.name}.path=FILE.")
        object.__setattr__(self, "path", str(Path(self.path).resolve()))
        found = self._content()
        if self.sha256 and self.sha256 != found.sha256:
            raise CapaxError(
                f"task {self.name}: {found.name} is not the file that it was (SHA-256 {self.sha256[:12]}.., now "
                f"{found.sha256[:12]}..); give the file of then, or begin anew."
            )
        object.__setattr__(self, "sha256", found.sha256)

    @abc.abstractmethod
    def prepare(self) -> Kind:
        """Read the file, split it, and learn from the training part what a preparation holds.

        Raises `CapaxError` for a file that the task cannot be made of.
        """

    @property
    def prepared(self) -> Kind:
        """What `prepare` makes of the file."""
        if self not in _PREPARED:
            made = self.prepare()
            while len(_PREPARED) >= MOST_PREPARED:
                _PREPARED.popitem(last=False)
            _PREPARED[self] = made
        _PREPARED.move_to_end(self)
        return _PREPARED[self]

    def preprocessing(self) -> dict[str, Any]:
        preparation = self.prepared.preparation
        return {"job": preparation.job, **preparation.to_json(), "reading": self.reading()}

    def reading(self) -> dict[str, Any]:
        """How the file was read, for others of its kind: "encoding", where it was named, and
        "decimal", where that was named or found.
        """
        found = {name: getattr(self, name, None) for name in ("encoding", "decimal")}
        notes = self.prepared.notes
        comma = any(note.startswith("numbers have a decimal comma") for note in notes)
        point = any(note.startswith("commas stand between thousands") for note in notes)
        found["decimal"] = found["decimal"] or ("," if comma else "." if point else None)
        return {name: value for name, value in found.items() if value is not None}

    def contents(self) -> tuple[Content, ...]:
        return (self._content(),)

    def remarks(self) -> tuple[str, ...]:
        return self.prepared.notes

    def data_depend_on(self, parameters: int) -> None:
        return None

    def alternatives(self) -> dict[str, list[Any]]:
        """Options whose values a fit compares by validation, where the user gives none."""
        return {}

    @property
    def network_adds(self) -> str:
        """What stands behind a cell's name where a network of this task is more than its cell."""
        return ""

    @property
    def simpler(self) -> bool:
        """Whether its networks stand on a simpler method, and are kept where validation cannot tell
        them from those of other `alternatives`.
        """
        return False

    def most_steps(self) -> int | None:
        """Training steps beyond which networks would learn the training part by heart; None where
        that is not known.
        """
        return None

    def _content(self) -> Content:
        path = Path(self.path)
        try:
            stat = path.stat()
            return _content(path, (stat.st_mtime_ns, stat.st_size))
        except OSError as error:
            raise CapaxError(f"task {self.name}: {self.path} cannot be read: {error.strerror}.") from None


@functools.lru_cache(maxsize=16)
def _content(path: Path, changed: tuple[int, int]) -> Content:
    """The content of a file as it is now; `changed`: when it was, and its size."""
    del changed
    return contents.of_file(path, option="path")
