"""What is served: a fixed list of files, which need nothing from elsewhere."""

import os
import re
import shutil
from importlib import resources

import pytest

from capax.serving.application import PAGE, plotly

STATIC = resources.files("capax.serving") / "static"


@pytest.mark.parametrize(
    "path",
    [
        "/../experiment.json",
        "/experiment.json",
        "/optuna.journal",
        "/static/index.html",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/report.html/../experiment.json",
        "/report.html%00.txt",
        "/api/run/../../experiment.json",
        "/index.html",
        "/figures.js/",
        "/C:%5Cwindows%5Cwin.ini",
    ],
)
def test_no_other_path_leads_to_a_file(client, path):
    answer = client.get(path)
    assert answer.status_code == 404 and answer.text.strip() == "Not Found"


@pytest.mark.parametrize("study", ["", "../../etc/passwd", "no such study", "<script>", "/"])
def test_a_study_that_the_run_does_not_have_is_not_looked_for(client, study):
    answer = client.get("/api/study", params={"study": study})
    assert answer.status_code == 404 and answer.json() == {"error": "the run has no such study."}


def test_the_files_of_the_page_are_all_there_and_asked_for_once(client):
    for path, (_, media_type) in {**PAGE, "/plotly.js": ("", "text/javascript; charset=utf-8")}.items():
        answer = client.get(path)
        assert answer.status_code == 200 and answer.headers["content-type"] == media_type and answer.content
        again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304 and again.content == b""
    assert {file.name for file in STATIC.iterdir()} == {name for name, _ in PAGE.values()}


def test_the_plotting_library_is_the_one_that_its_package_ships(client):
    assert client.get("/plotly.js").content == plotly().read_bytes() and plotly().stat().st_size > 1e6


def test_the_page_loads_nothing_from_elsewhere_and_has_no_script_of_its_own():
    page = (STATIC / "index.html").read_text()
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert set(loaded) == {"data:,", "/style.css", "/plotly.js", "/app.js", "/report.html"}
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:|<script[^>]*>[^<]", page)
    styles = (STATIC / "style.css").read_text()
    assert "url(" not in styles and "@import" not in styles


@pytest.mark.parametrize("name", ["app.js", "page.js", "figures.js"])
def test_our_scripts_set_text_and_never_markup_or_code(name):
    script = (STATIC / name).read_text()
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "http:"):
        assert forbidden not in script


def test_the_report_is_shown_without_letting_it_run_anything(tmp_path, finished, client_of):
    directory = shutil.copytree(finished, tmp_path / "run")
    client = client_of(directory)
    assert not client.get("/api/run").json()["report"] and client.get("/report.html").status_code == 404
    (directory / "report.html").write_text("<p>found</p><script>alert(1)</script>")
    answer = client.get("/report.html")
    policy = answer.headers["content-security-policy"].split("; ")
    assert client.get("/api/run").json()["report"] and "<p>found</p>" in answer.text
    assert policy[:2] == ["sandbox", "default-src 'none'"] and not any("script" in part for part in policy)


def test_a_report_that_leads_elsewhere_is_not_shown(tmp_path, finished, client_of):
    directory = shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "secret").write_text("secret")
    (directory / "report.html").symlink_to(tmp_path / "secret")
    assert client_of(directory).get("/report.html").status_code == 404
    (directory / "report.html").unlink()
    os.mkfifo(directory / "report.html")  # reading it would wait for ever
    assert client_of(directory).get("/report.html").status_code == 404
