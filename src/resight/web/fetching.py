"""Fetching a query photo from a web address: under limits, and from public addresses alone.

The address comes from a request, so that a page could ask the server to fetch what only the
server can reach. Names are resolved here and the connection goes to an address that was looked
at, so that a name cannot change its meaning in between; every redirection is looked at likewise.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from typing import IO
from urllib.parse import urljoin, urlsplit

from resight.web.limits import too_large
from resight.web.problems import Problem

MAX_REDIRECTS = 3
TIMEOUT_S = 10.0
TOTAL_S = 30.0
REDIRECTS = (301, 302, 303, 307, 308)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet at large."""
    ip = ipaddress.ip_address(address)
    mapped = getattr(ip, "ipv4_mapped", None)
    ip = mapped or ip
    return ip.is_global and not ip.is_multicast


def fetch(
    url: str, target: IO[bytes], max_bytes: int, allowed: Callable[[str], bool] = is_public
) -> None:
    """Write what a web address holds to a file.

    Args:
        url: http or https.
        target: a binary file.
        max_bytes: larger answers are refused.
        allowed: which IP addresses may be connected to.

    Raises:
        Problem: no such address, not allowed, too large, too slow, or not answered with 200.
    """
    deadline = time.monotonic() + TOTAL_S
    for _ in range(MAX_REDIRECTS + 1):
        try:
            onward = _fetch_one(url, target, max_bytes, allowed, deadline)
        except (OSError, http.client.HTTPException, ValueError, UnicodeError):
            raise Problem(422, "That address cannot be fetched.") from None
        if onward is None:
            return
        url = urljoin(url, onward)
    raise Problem(422, "That address leads on too often.")


def _fetch_one(
    url: str,
    target: IO[bytes],
    max_bytes: int,
    allowed: Callable[[str], bool],
    deadline: float,
) -> str | None:
    """Fetch one address; where it leads on to, if it does."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise Problem(422, "Give an address that begins with http:// or https://.")
    connection = _connect(parts.scheme, parts.hostname, parts.port, allowed)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"User-Agent": "resight", "Accept": "image/*"})
        with connection.getresponse() as answer:
            if answer.status in REDIRECTS:
                return answer.getheader("Location") or ""
            if answer.status != 200:
                raise Problem(422, f"That address answered with status {answer.status}.")
            received = 0
            while block := answer.read1(1 << 16):
                received += len(block)
                if received > max_bytes:
                    raise too_large(max_bytes)
                if time.monotonic() > deadline:
                    raise Problem(422, "That address answers too slowly.")
                target.write(block)
            return None
    finally:
        connection.close()


def _connect(
    scheme: str, host: str, port: int | None, allowed: Callable[[str], bool]
) -> http.client.HTTPConnection:
    port = port or (443 if scheme == "https" else 80)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(allowed(address) for address in addresses):
        raise Problem(422, "Only addresses on the public internet can be fetched.")
    plain = socket.create_connection((addresses[0], port), timeout=TIMEOUT_S)
    connection: http.client.HTTPConnection
    if scheme == "https":
        try:
            secured = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S)
        connection.sock = secured
    else:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        connection.sock = plain
    return connection
