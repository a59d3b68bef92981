"""Where `capax serve` listens, and under which names it answers."""

import socket

import pytest

from capax.errors import CapaxError
from capax.serving.address import Address, address, is_local, listen

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.3.2.1"])
def test_this_machine_alone_needs_no_token(host):
    assert is_local(host) and address(host, 0, None).token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "atlas", "", "127.0.0.1.evil.example"])
def test_any_other_host_has_a_token_and_a_new_one_each_time(host):
    first, second = address(host, 0, None).token, address(host, 0, None).token
    assert first is not None and len(first) >= 40 and first != second
    assert address(host, 0, TOKEN).token == TOKEN


@pytest.mark.parametrize(
    "token", ["", "short", "0123456789abcde", "0123456789abcdef;", "with spaces, and more", "ü" * 20]
)
def test_a_token_that_could_be_guessed_or_does_not_fit_a_cookie_is_refused(token):
    with pytest.raises(CapaxError, match="16 to 200 letters"):
        address("0.0.0.0", 0, token)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_there_is_not_is_refused(port):
    with pytest.raises(CapaxError, match="a port is a number"):
        address("127.0.0.1", port, None)


@pytest.mark.parametrize("name", ["127.0.0.1", "127.0.0.1:80", "localhost:9000", "LocalHost", "[::1]:8123"])
def test_this_machine_answers_to_its_own_names_whatever_the_port(name):
    assert Address("127.0.0.1", 8123, None).answers_to(name)


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "10.0.0.1",
        "evil@localhost",
        "localhost/x",
        "localhost:80:80",
        "localhost evil",
        "[::1",
        "localhost:",
        "0.0.0.0",
        socket.gethostname() + ".evil.example",
    ],
)
def test_this_machine_answers_to_no_other_name(name):
    assert not Address("127.0.0.1", 8123, None).answers_to(name)


def test_a_named_host_answers_to_that_name_alone():
    found = Address("Atlas", 8123, TOKEN)
    assert found.answers_to("atlas:8123") and not found.answers_to("localhost") and not found.answers_to("10.0.0.1")


def test_all_addresses_answer_to_numbers_and_to_the_names_of_the_machine():
    found = Address("0.0.0.0", 8123, TOKEN)
    for name in ("10.0.0.1:8123", "localhost", socket.gethostname(), "[fe80::1]"):
        assert found.answers_to(name)
    assert not found.answers_to("evil.example")


def test_the_address_to_open_has_the_token():
    assert Address("127.0.0.1", 80, None).url == "http://127.0.0.1:80/"
    assert Address("::1", 80, TOKEN).url == f"http://[::1]:80/?token={TOKEN}"
    assert Address("0.0.0.0", 80, TOKEN).url == f"http://{socket.gethostname()}:80/?token={TOKEN}"


def test_port_0_is_one_that_is_free():
    opened, found = listen(address("127.0.0.1", 0, None))
    with opened:
        assert opened.getsockname() == ("127.0.0.1", found.port) and found.port > 0
        with pytest.raises(CapaxError, match=f"127.0.0.1, port {found.port}, cannot be used: .*; choose others"):
            listen(found)


def test_a_host_that_there_is_not_is_one_line():
    with pytest.raises(CapaxError, match="cannot be used"):
        listen(address("no such host", 0, None))


def test_a_name_that_leads_elsewhere_is_not_served_without_a_token(monkeypatch):
    elsewhere = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("0.0.0.0", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **named: elsewhere)
    with pytest.raises(CapaxError, match="give a --token"):
        listen(address("localhost", 0, None))
