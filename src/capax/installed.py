"""Classes that installed packages offer under a name: by the entry points of a group."""

import abc
import dataclasses
from importlib import metadata
from typing import Generic, TypeVar

from capax.errors import CapaxError, closest

Class = TypeVar("Class", bound=abc.ABC)


@dataclasses.dataclass(frozen=True)
class Installed(Generic[Class]):
    """The subclasses of one class that are entry points of `group`.

    `what`: what one is called, such as "engine". `remedy`: what a message says of one that cannot
    be loaded; `{name}` in it is its name.
    """

    group: str
    what: str
    base: type[Class]
    remedy: str = ""

    def names(self) -> list[str]:
        """Those that are installed."""
        return sorted({point.name for point in metadata.entry_points(group=self.group)})

    def get(self, name: str) -> type[Class]:
        """One by name. Raises `CapaxError` where there is none, or it cannot be loaded."""
        known = self.names()
        if name not in known:
            installed = ", ".join(known) or "none"
            raise CapaxError(f"unknown {self.what} '{name}'{closest(name, known)}; installed are: {installed}.")
        point = next(iter(metadata.entry_points(group=self.group, name=name)))
        found = f"{self.what} '{name}' ({point.value})"
        try:
            loaded = point.load()
        except (ImportError, AttributeError) as error:
            remedy = self.remedy.format(name=name)
            raise CapaxError(f"{found} cannot be loaded: {error}{remedy}.") from error
        if not (isinstance(loaded, type) and issubclass(loaded, self.base)):
            base = f"{self.base.__module__}.{self.base.__name__}"
            raise CapaxError(f"{found} is no subclass of {base}.")
        return loaded
