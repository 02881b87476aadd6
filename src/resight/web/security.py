"""What stands before every request: security headers, and who may ask from where.

The checks are plain functions of the request's headers; `SecurityMiddleware` is the ASGI layer around the
application that applies them, so that refusals and even failures carry the security headers.
"""

import hashlib
import secrets
import time
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resight.web.limits import SMALL_BODY, bounded, lingering
from resight.web.metrics import Metrics
from resight.web.problems import Problem, log
from resight.web.settings import WebSettings, is_allowed_host

API = "/api/v1"

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

NO_TOKEN_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Resight</title>
<h1>This collection is protected</h1>
<p>Open the address that <code>resight serve</code> printed: it ends in <code>?token=…</code></p>
</html>"""


class SecurityMiddleware:
    """Refuses what must not reach the application; counts, and adds the security headers."""

    def __init__(self, app: ASGIApp, settings: WebSettings, metrics: Metrics) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith(API):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await lingering(self._serve)(scope, receive, send_guarded)
        except Exception:
            if status:  # the answer has begun: the server can only close the connection
                raise
            log.exception("%s %s failed", scope["method"], scope["path"])
            problem = Problem(500, "Something went wrong on the server; its log says what.")
            await problem.response()(scope, receive, send_guarded)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.count(scope["method"], route, status, time.monotonic() - started)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = (
            check_host(headers, self.settings)
            or check_origin(scope["method"], scope["path"], headers)
            or check_token(scope, headers, self.settings)
        )
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        pause_s = self.settings.upload_timeout_s
        app = bounded(self.app, SMALL_BODY, pause_s)
        if scope["path"] == f"{API}/search":
            most = self.settings.max_upload_bytes
            app = bounded(self.app, most, pause_s, beside=SMALL_BODY)
        await app(scope, receive, send)


def check_host(headers: Headers, settings: WebSettings) -> Response | None:
    """Refuse a request that names another host than this server."""
    if is_allowed_host(headers.get("host", ""), settings):
        return None
    return Problem(
        421, "This server does not go by that name; open it by the address it printed."
    ).response()


def check_origin(method: str, path: str, headers: Headers) -> Response | None:
    """Refuse what a page of another site sends or embeds; programs send no such headers."""
    site = headers.get("sec-fetch-site", "none")
    elsewhere = site not in ("none", "same-origin")
    if method not in ("GET", "HEAD"):
        origin = headers.get("origin")
        elsewhere |= origin is not None and urlsplit(origin).netloc != headers.get("host")
    elif not path.startswith((API, "/metrics")):
        elsewhere = False  # following a link to the page is no harm
    if not elsewhere:
        return None
    return Problem(403, "Requests from the pages of other sites are refused.").response()


def check_token(scope: Scope, headers: Headers, settings: WebSettings) -> Response | None:
    """Refuse a request without the token; `/?token=` exchanges it for a cookie."""
    token, path = settings.token, scope["path"]
    if token is None or path == f"{API}/health":
        return None
    query = parse_qs(scope["query_string"].decode("latin-1"))
    if path == "/" and "token" in query:
        return _exchange(query, token)
    scheme, _, shown = headers.get("authorization", "").partition(" ")
    cookie = cookie_parser(headers.get("cookie", "")).get(cookie_name(token), "")
    if (scheme.lower() == "bearer" and _equal(shown.strip(), token)) or _equal(cookie, token):
        return None
    if path == "/":
        return HTMLResponse(NO_TOKEN_PAGE, 401)
    detail = "This collection is protected: send its token, or open the page with ?token= once."
    return Problem(401, detail, headers={"WWW-Authenticate": "Bearer"}).response()


def _exchange(query: dict[str, list[str]], token: str) -> Response:
    if not _equal(query.pop("token")[-1], token):
        return HTMLResponse(NO_TOKEN_PAGE, 401)
    # The token must not stay in the address bar, the history and the log of a proxy.
    rest = f"/?{urlencode(query, doseq=True)}" if query else "/"
    answer = RedirectResponse(rest, 303)
    answer.set_cookie(cookie_name(token), token, httponly=True, samesite="strict")
    return answer


def cookie_name(token: str) -> str:
    """A name of its own for each token: cookies do not tell the ports of one machine apart."""
    return f"resight-{hashlib.sha256(token.encode()).hexdigest()[:8]}"


def _equal(shown: str, token: str) -> bool:
    return secrets.compare_digest(shown.encode(), token.encode())
