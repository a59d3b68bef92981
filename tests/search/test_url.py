"""URLs of databases: what is taken, what is refused, and that no password is shown."""

from pathlib import Path

import pytest

from capax.errors import CapaxError
from capax.search import url as urls

SECRET = "s3cr3t@{x}"
WITH = "postgresql+psycopg://ada:s3cr3t%40%7Bx%7D@db.example/trials?sslmode=require"


def test_a_password_is_read_and_not_shown():
    url = urls.parse(WITH)
    assert url.password == SECRET
    assert urls.shown(url) == "postgresql+psycopg://ada@db.example/trials?sslmode=require"
    assert urls.parse(urls.shown(url)).password is None


def test_a_message_that_repeats_the_password_is_told_without():
    said = urls.without_secrets(f"no way in for {SECRET}\nnor for s3cr3t%40%7Bx%7D", urls.parse(WITH))
    assert said == "no way in for *** nor for ***"


@pytest.mark.parametrize(
    "text",
    [
        "s3cr3t",
        "postgresql://ada@host:s3cr3t/trials",
        "postgresql://ada@host/trials?password=s3cr3t",
        "postgresql://ada@host/trials?sslpassword=s3cr3t",
        "mssql+pyodbc:///?odbc_connect=PWD%3Ds3cr3t",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:s3cr3t?mode=memory&uri=true",
    ],
)
def test_what_is_no_store_is_refused_and_not_repeated(text):
    with pytest.raises(CapaxError) as refused:
        urls.parse(text)
    assert "s3cr3t" not in str(refused.value) and "\n" not in str(refused.value)


def test_a_file_is_the_same_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = urls.parse("sqlite:///trials.db")
    assert Path(str(url.database)) == tmp_path.resolve() / "trials.db"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("postgresql+psycopg://a:b@h/d", "postgresql://c@h:5432/d", True),
        ("postgresql://h/d", "postgresql:///d?host=h", True),
        ("postgresql://h/d", "postgresql://h/e", False),
        ("postgresql://h/d", "postgresql://h:5433/d", False),
        ("postgresql://h/d", "postgresql://i/d", False),
        ("postgresql://h/d", "mysql://h/d", False),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/../tmp/a.db", True),
    ],
)
def test_two_urls_are_of_one_database(one, other, same):
    assert urls.is_same(urls.parse(one), urls.parse(other)) is same


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sqlite:///a.db#run", ("sqlite:///a.db", "run")),
        ("sqlite:///a.db", ("sqlite:///a.db", None)),
        ("postgresql://u:a#b@h/d", ("postgresql://u:a#b@h/d", None)),
        ("runs/number#1", ("runs/number#1", None)),
    ],
)
def test_a_run_may_stand_behind_the_url(text, found):
    assert urls.split_run(text) == found
