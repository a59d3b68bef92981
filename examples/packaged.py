"""Data files of installed packages. The packages are not imported: only their files are read."""

import importlib.metadata
from pathlib import Path


def file(package: str, ending: str, install: str | None = None) -> Path:
    """The file of an installed package whose path ends with `ending`.

    Ends the script with one line where the package is not installed, or has no such file.
    """
    command = f"pip install {install or package}"
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit(
            f"this example reads data of the package {package}, which is not installed: {command}"
        ) from None
    for each in files:
        if each.as_posix().endswith(ending):
            return Path(str(each.locate()))
    version = importlib.metadata.version(package)
    raise SystemExit(f"{package} {version} has no file {ending}; get a version that has it: {command}")
