"""A run directory and a client that asks as the page itself does."""

import pytest
from starlette.testclient import TestClient

from capax.serving.address import Address
from capax.serving.application import application
from capax.serving.view import View
from tests.report.runs import write_run

PORT = 8123
TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run; tests do not change it."""
    directory = tmp_path_factory.mktemp("runs") / "finished"
    write_run(directory)
    return directory


@pytest.fixture
def client_of():
    """A function: a client of the view of a directory, by default without a token on this
    machine.
    """

    def made(directory, host="127.0.0.1", token=None):
        app = application(View(directory), Address(host, PORT, token))
        return TestClient(app, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)

    return made


@pytest.fixture
def client(finished, client_of):
    return client_of(finished)
