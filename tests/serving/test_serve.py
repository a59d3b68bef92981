"""`capax serve` as a command: it says where it is, serves there, and ends quietly."""

import contextlib
import re
import signal
import subprocess
import sys

import httpx2
import pytest

MAIN = "import sys; from capax.cli.main import main; sys.argv = ['capax', *sys.argv[1:]]; main()"


def command(*words):
    return [sys.executable, "-c", MAIN, "serve", *map(str, words)]


@contextlib.contextmanager
def served(*words):
    """A process that serves, and the address that it printed."""
    process = subprocess.Popen(command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stderr.read()
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_on_this_machine_until_it_is_interrupted(finished, end):
    with served(finished) as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        answer = httpx2.get(f"{address}api/run", trust_env=False)
        assert answer.json()["name"] == "quickstart" and "server" not in answer.headers
        refused = httpx2.get(f"{address}api/run", headers={"Host": "evil.example"}, trust_env=False)
        assert refused.status_code == 403
        process.send_signal(end)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0 and out == ""
        assert err == "capax: no longer shown; this has no effect on the run.\n"


def test_any_other_address_has_a_token_which_is_printed_once(finished):
    with served(finished, "--host", "0.0.0.0") as (process, address):
        port, token = re.fullmatch(r"http://[^:]+:(\d+)/\?token=([\w-]{40,})", address).groups()
        here = f"http://127.0.0.1:{port}"
        assert httpx2.get(f"{here}/api/run", trust_env=False).status_code == 403
        with httpx2.Client(follow_redirects=True, trust_env=False) as client:
            assert "<title>capax</title>" in client.get(f"{here}/?token={token}").text
            assert client.get(f"{here}/api/run").json()["name"] == "quickstart"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert token not in out + err and "not encrypted" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["."], "holds no capax experiment"),
        (["no-such-directory"], "holds no capax experiment"),
        (["RUN", "--token", "short"], "a token has 16 to 200"),
        (["RUN", "--port", "99999"], "a port is a number"),
        (["RUN", "--host", "no such host"], "cannot be used"),
    ],
)
def test_what_cannot_be_served_is_one_line(finished, tmp_path, words, said):
    given = [finished if word == "RUN" else word for word in words]
    done = subprocess.run(command(*given), capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("capax: ") and said in done.stderr


def test_without_the_extra_it_says_what_to_install(finished):
    hidden = "import sys; sys.modules['uvicorn'] = None; import importlib.util as u; real = u.find_spec; "
    hidden += "u.find_spec = lambda name, *more: None if name == 'uvicorn' else real(name, *more); "
    done = subprocess.run(
        [sys.executable, "-c", hidden + MAIN, "serve", str(finished)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert done.stderr == "capax: the live view needs the package uvicorn: pip install 'capax[serve]'.\n"
