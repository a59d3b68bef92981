"""What capax says to people, read from its sources."""

import ast
import re
from pathlib import Path

import pytest

from capax.errors import counted

SOURCES = Path(__file__).parents[1] / "src" / "capax"
OF_OWN_DATA = ("data", "jobs", "fitting", "estimators")
NOUNS = (
    r"steps|rows|values|columns|symbols|sequences|sources|labels|words|lines|pairs|cells|characters|targets|numbers|texts"
    r"|streams|sentences|bytes|inputs|outputs|minutes|files|windows|levels|trials"
)
NEVER_ONE = {
    ("label_roles.py", "columns"),  # of more than are shown
    ("content.py", "files"),
    ("arrays.py", "steps"),  # a range, or the length of an array in time
    ("label_tables.py", "steps"),
    ("forecast.py", "steps"),  # 1 to so many
    ("sequences.py", "sequences"),  # scikit-learn's own words
    ("sequences.py", "labels"),
    ("recognise.py", "labels"),
    ("sections.py", "characters"),
    ("translate.py", "pairs"),
    ("translate.py", "symbols"),
    ("translate.py", "sources"),
}


def test_numbers_go_with_their_nouns():
    assert counted(1, "step") == "1 step" and counted(2000, "step") == "2,000 steps" and counted(0, "row") == "0 rows"
    assert counted(1, "row is", "rows are") == "1 row is" and counted(3, "row is", "rows are") == "3 rows are"


@pytest.mark.parametrize("room", OF_OWN_DATA)
def test_no_message_on_own_data_says_1_steps(room):
    found = {
        (path.name, noun)
        for path in (SOURCES / room).rglob("*.py")
        for noun in _plurals_behind_numbers(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found - NEVER_ONE == set()


def _plurals_behind_numbers(tree: ast.Module) -> list[str]:
    """Nouns in the plural that follow on a value in an f-string."""
    found = []
    for text in (node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)):
        for value, behind in zip(text.values, text.values[1:], strict=False):
            if isinstance(value, ast.FormattedValue) and isinstance(behind, ast.Constant):
                noun = re.match(rf" ({NOUNS})\b", str(behind.value))
                found += [noun[1]] if noun else []
    return found
