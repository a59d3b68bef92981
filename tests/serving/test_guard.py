"""Which requests are refused, and what every answer says to browsers."""

import pytest
from starlette.websockets import WebSocketDisconnect

from capax.serving.application import PAGE, REPORT
from tests.serving.conftest import PORT, TOKEN

ALL = (*PAGE, "/plotly.js", "/api/run", f"/{REPORT}", "/api/study?study=capacity-rnn-depth1-250", "/nothing")


@pytest.mark.parametrize("path", ALL)
def test_every_answer_says_what_may_run(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe-eval" not in policy and "http" not in policy and "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY" and headers["cross-origin-resource-policy"] == "same-origin"
    assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1.evil.example", ""])
def test_a_name_that_is_not_this_servers_is_refused(client, path, host):
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 403 and "another name" in answer.text and "capacity" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_looking_is_allowed(client, method):
    answer = client.request(method, "/api/run")
    assert answer.status_code == 405 and answer.headers["allow"] == "GET, HEAD"


def test_head_has_no_body(client):
    answer = client.head("/")
    assert answer.status_code == 200 and answer.content == b""


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": f"http://127.0.0.1:{PORT}", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_what_another_page_asks_for_is_refused(client, headers):
    answer = client.get("/api/run", headers=headers)
    assert answer.status_code == 403 and "another page" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": f"http://127.0.0.1:{PORT}", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_what_the_page_and_its_reader_ask_for_is_answered(client, headers):
    assert client.get("/api/run", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ALL)
def test_without_the_token_nothing_is_shown(finished, client_of, path):
    client = client_of(finished, token=TOKEN)
    joint = "&" if "?" in path else "?"
    for given in ("", f"{joint}token=", f"{joint}token={TOKEN[:-1]}", f"{joint}token=%C3%BC"):
        answer = client.get(path + given)
        assert answer.status_code == 403 and "token is needed" in answer.text and "set-cookie" not in answer.headers
    client.cookies.set(f"capax-{PORT}", TOKEN + "x")
    assert client.get(path).status_code == 403


def test_the_token_is_given_once_and_then_kept_in_a_cookie_that_scripts_and_other_sites_do_not_get(finished, client_of):
    client = client_of(finished, token=TOKEN)
    answer = client.get(f"/?token={TOKEN}")
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"capax-{PORT}={TOKEN};") and "httponly" in cookie and "samesite=strict" in cookie
    assert client.get("/").status_code == 200 and client.get("/api/run").json()["name"] == "quickstart"


def test_the_token_alone_does_not_let_another_page_in(finished, client_of):
    client = client_of(finished, token=TOKEN)
    answer = client.get(f"/?token={TOKEN}", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403 and "set-cookie" not in answer.headers


def test_no_other_protocol_is_spoken(client):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/api/run"):
        pass
