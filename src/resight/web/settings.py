"""Settings of a server: its address, its token, its limits."""

import ipaddress
import re
import socket
from dataclasses import dataclass

from resight.errors import UsageError

MIB = 1 << 20
MIN_TOKEN_LENGTH = 16
"""Shorter tokens can be guessed; they are refused on addresses that other machines can reach."""


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """The settings of a server.

    Attributes:
        host, port: where it listens.
        token: secret that every request must send; needed on any address but loopback.
        allow_urls: whether a query may be fetched from a web address.
        allowed_hosts: further names under which the server may be reached (`Host` header).
        max_upload_bytes: larger uploads are refused.
        max_pixels: uploads that would decode to more are refused.
        max_waiting: searches that may wait for their turn; further ones get 429.
        max_uploads: uploads that may arrive at the same time; further ones get 429.
        upload_timeout_s: an upload that sends nothing for this long is aborted.
        stored_bytes, stored_s: limits of the stored query photos, which further pages and
            explanations need: bytes on disk in all, seconds since one was last used.
        thumbnail_bytes: bytes on disk of all thumbnails together.
        shutdown_s: how long running requests may take when the server stops.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    allow_urls: bool = False
    allowed_hosts: tuple[str, ...] = ()
    max_upload_bytes: int = 64 * MIB
    max_pixels: int = 64_000_000
    max_waiting: int = 32
    max_uploads: int = 32
    upload_timeout_s: float = 30.0
    stored_bytes: int = 512 * MIB
    stored_s: float = 1800.0
    thumbnail_bytes: int = 512 * MIB
    shutdown_s: float = 120.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"{self.port} is not from 0 to 65535", parameter="port")
        if self.token is not None and not re.fullmatch(r"[A-Za-z0-9._~-]+", self.token):
            raise UsageError("letters, digits and . _ ~ - only", parameter="token")
        if is_loopback(self.host):
            return
        if self.token is None:
            raise UsageError(
                f"other machines could reach the photos on {self.host}; protect them with a token "
                f"of at least {MIN_TOKEN_LENGTH} characters",
                parameter="host",
            )
        if len(self.token) < MIN_TOKEN_LENGTH:
            message = f"at least {MIN_TOKEN_LENGTH} characters on {self.host}"
            raise UsageError(message, parameter="token")

    @property
    def local_only(self) -> bool:
        """Whether only programs on this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address to listen on."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_allowed_host(header: str, settings: WebSettings) -> bool:
    """Return whether a request's `Host` header names this server.

    An attacker's page can point its own host name at this machine (DNS rebinding) and would then
    share its origin, but the name differs. Addresses, unlike names, cannot be rebound.
    """
    name = _without_port(header).lower().rstrip(".")
    if name in ("localhost", "127.0.0.1", "::1", settings.host.lower()):
        return True
    if name in (host.lower() for host in settings.allowed_hosts):
        return True
    if settings.local_only:
        return False
    hostname = socket.gethostname().lower()
    return name in (hostname, f"{hostname}.local") or _is_address(name)


def _without_port(header: str) -> str:
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?", header)
    if bracketed:
        return bracketed.group(1)
    plain = re.fullmatch(r"([^:/@\s]+)(?::\d+)?", header)
    return plain.group(1) if plain else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
