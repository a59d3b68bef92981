"""Where the view listens, and the names under which a browser may ask for it.

A page of someone else can let its own name point to this machine (DNS rebinding). Its requests then
carry that name, so only known names are answered. Numbers cannot be rebound.
"""

import contextlib
import dataclasses
import functools
import ipaddress
import re
import secrets
import socket

from capax.errors import CapaxError

LOCAL = ("localhost", "127.0.0.1", "::1")
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")
"""What a token may be: long enough not to be guessed, and safe in addresses and cookies."""


@dataclasses.dataclass(frozen=True)
class Address:
    """A host and port to listen on. `token`: without it nothing is shown, None where none is
    asked for.
    """

    host: str
    port: int
    token: str | None

    @property
    def url(self) -> str:
        """What to open in a browser, the token included."""
        host = socket.gethostname() if _is_any(self.host) else self.host
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    @property
    def cookie(self) -> str:
        """The name of the cookie that keeps the token. Cookies do not tell ports apart; names
        do.
        """
        return f"capax-{self.port}"

    def answers_to(self, host: str) -> bool:
        """Whether the `Host` of a request is a name of this server. Its port is not looked at, so
        that a tunnel may change it.
        """
        name = _name(host)
        if name is None or name == self.host.lower():
            return name is not None
        if is_local(self.host):
            return name in LOCAL
        return _is_any(self.host) and (name in LOCAL or name in _names_of_machine() or _is_number(name))


def address(host: str, port: int, token: str | None) -> Address:
    """Where to listen: a host other than this machine has a token, made where none is given.

    Raises `CapaxError` for a token that could be guessed, and for a port that there is not.
    """
    if token is not None and not TOKEN.fullmatch(token):
        raise CapaxError("a token has 16 to 200 letters, digits, - or _; leave --token out, and one is made.")
    if not 0 <= port < 2**16:
        raise CapaxError(f"--port {port} is none: a port is a number from 0 (any that is free) to 65535.")
    if token is None and not is_local(host):
        token = secrets.token_urlsafe(32)
    return Address(host, port, token)


def listen(wanted: Address) -> tuple[socket.socket, Address]:
    """A socket that listens, and the address with the port that it got. Raises `CapaxError` where
    that cannot be done, or where a name leads elsewhere than to this machine and there is no token.
    """
    with contextlib.ExitStack() as undo:
        try:
            family, kind, _, _, where = socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM)[0]
            opened = undo.enter_context(socket.socket(family, kind))
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(where)
            opened.listen(128)
        except (OSError, UnicodeError) as error:
            said = getattr(error, "strerror", None) or error
            raise CapaxError(
                f"{wanted.host}, port {wanted.port}, cannot be used: {said}; choose others with --host and --port."
            ) from None
        if wanted.token is None and not is_local(opened.getsockname()[0]):
            raise CapaxError(f"{wanted.host} is {opened.getsockname()[0]}, which others reach: give a --token.")
        undo.pop_all()
    return opened, dataclasses.replace(wanted, port=opened.getsockname()[1])


def is_local(host: str) -> bool:
    """Whether only this machine reaches a host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_any(host: str) -> bool:
    """Whether a host stands for all addresses of this machine."""
    try:
        return not host or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name(host: str) -> str | None:
    """The name in a `Host`, without its port; None where it is none."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/@\s]+))(?::\d{1,5})?", host)
    return None if found is None else (found[1] or found[2]).lower()


@functools.cache
def _names_of_machine() -> frozenset[str]:
    return frozenset(name.lower() for name in (socket.gethostname(), socket.getfqdn()))
