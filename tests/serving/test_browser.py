"""The page in a browser without a screen: it draws, it shows hostile names as text, and it works
where scripts of others may not run.
"""

import html
import re
import shutil
import subprocess

import pytest

from tests.serving.test_hostile_run import NAME, SCORE, STUDY, hostile
from tests.serving.test_serve import served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--enable-logging=stderr"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]


def browse(address, tmp_path, *options):
    """What Chromium wrote: the page after its scripts have run, and its console."""
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run([CHROMIUM, *OPTIONS, profile, *options, address], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def text_of(page, tag):
    """The text of the tag with an id."""
    return html.unescape(re.sub("<[^>]*>", "", re.search(rf'id="{tag}"[^>]*>(.*?)</', page, re.S)[1]))


def test_the_page_shows_the_run_and_draws_its_figures(finished, tmp_path):
    with served(finished) as (_, address):
        page, console = browse(address, tmp_path, "--dump-dom")
    assert text_of(page, "name") == "quickstart" and text_of(page, "question") == "Which cell stores more <bits>?"
    assert "finished" in text_of(page, "state") and page.count('class="study"') == 8
    assert page.count('class="main-svg"') >= 4 and page.count('class="point"') >= 2
    assert "3 trials: 2 complete, 1 diverged" in text_of(page, "scatter-said")
    assert 'aria-label="learning_rate against' in page and re.search(r'id="error"[^>]*hidden', page)
    # The library brings a style sheet for maps, which the page refuses and does not need.
    assert all("Content Security Policy" in line and "style" in line for line in console) and len(console) <= 1


def test_the_token_of_the_printed_address_lets_the_page_in_and_leaves_the_address(finished, tmp_path):
    with served(finished, "--token", "0123456789abcdef") as (_, address):
        page, _ = browse(address, tmp_path, "--dump-dom")
        assert text_of(page, "name") == "quickstart" and "0123456789abcdef" not in page


def test_hostile_names_are_shown_as_text(tmp_path):
    directory = hostile(tmp_path / "run", tmp_path / "blown")
    (directory / "progress.json").unlink()
    with served(directory) as (_, address):
        page, console = browse(address, tmp_path, "--dump-dom")
    assert text_of(page, "name") == NAME and html.unescape(text_of(page, "study")).startswith(STUDY)
    assert "<script>alert" not in page and "<img" not in page and not re.search("<a [^>]*javascript", page)
    assert html.escape(SCORE, quote=False) in page
    assert not any("alert" in line or "onerror" in line for line in console)


def test_a_report_does_not_run_what_stands_in_it(finished, tmp_path):
    directory = shutil.copytree(finished, tmp_path / "run")
    (directory / "report.html").write_text("<p id=x>before</p><script>document.getElementById('x').id = 'ran'</script>")
    with served(directory) as (_, address):
        page, _ = browse(f"{address}report.html", tmp_path, "--dump-dom")
    assert "before" in page and 'id="ran"' not in page


@pytest.mark.parametrize(("width", "height"), [(1280, 1600), (500, 2600)])
def test_a_picture_of_the_page_can_be_taken(finished, tmp_path, width, height):
    picture = tmp_path / "page.png"
    with served(finished) as (_, address):
        browse(address, tmp_path, f"--screenshot={picture}", f"--window-size={width},{height}")
    assert picture.read_bytes()[:4] == b"\x89PNG" and picture.stat().st_size > 20_000
