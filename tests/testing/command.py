"""`capax check`, as the tests of cells and of tasks call it."""

import sys

import pytest

from capax.cli import main


def check(arguments, monkeypatch, capsys):
    """Its exit code, and what it prints on standard output and on standard error."""
    monkeypatch.setattr(sys, "argv", ["capax", "check", *arguments])
    with pytest.raises(SystemExit) as end:
        main.main()
    return end.value.code, *capsys.readouterr()
