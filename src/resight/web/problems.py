"""Errors as problem details (RFC 9457): a status, and a sentence that a person understands."""

import http
import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from resight.errors import (
    CollectionEmptyError,
    CollectionError,
    CollectionLockedError,
    ImageError,
    ResightError,
    WeightsError,
)

MEDIA_TYPE = "application/problem+json"

log = logging.getLogger("resight.web")


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """A request that cannot be answered.

    Args:
        status: the HTTP status.
        detail: what is wrong, in a sentence for a person.
        headers: further headers of the answer.
        kind: a short name by which a program can tell problems of one status apart.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        kind: str = "about:blank",
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = http.HTTPStatus(status).phrase
        self.detail = detail
        self.headers = dict(headers or {})
        self.kind = kind

    def response(self) -> Response:
        """The answer to send."""
        content = {
            "type": self.kind,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        body = json.dumps(content).encode()
        headers = {"Cache-Control": "no-store", **self.headers}
        return Response(body, self.status, headers, media_type=MEDIA_TYPE)


def as_problem(error: ResightError, *, with_paths: bool) -> Problem:
    """The problem for one of Resight's own errors.

    Args:
        error: its text is for the person at the keyboard, and may name files.
        with_paths: whether the client may see that; else the text goes to the log alone.
    """
    if isinstance(error, ImageError):
        return Problem(422, f"The photo cannot be read: {error}.")
    if isinstance(error, CollectionLockedError):
        return Problem(409, "Another program is changing this collection; try again later.")
    if isinstance(error, CollectionEmptyError):
        return Problem(409, "The collection holds no photos yet; index some.")
    status, what = 422, "That cannot be done"
    if isinstance(error, WeightsError):
        status, what = 503, "The network cannot be used, only photos of the collection searched"
    elif isinstance(error, CollectionError):
        status, what = 503, "The collection cannot be used"
    if with_paths:
        return Problem(status, f"{what}: {error}.")
    log.warning("%s", error)
    return Problem(status, f"{what}; the log of the server says why.")


def explain_validation(error: RequestValidationError | ValidationError) -> str:
    """One sentence on what is wrong with the values of a request."""
    first = error.errors()[0]
    places = [str(part) for part in first["loc"] if part not in ("query", "path", "body")]
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{'.'.join(places)}: {message}." if places else f"{message[:1].upper()}{message[1:]}."


def install(app: FastAPI, *, with_paths: bool) -> None:
    """Let an application answer every error with problem details; see `as_problem`."""

    async def on_problem(_: Request, error: Any) -> Response:
        return error.response()

    async def on_resight_error(_: Request, error: Any) -> Response:
        return as_problem(error, with_paths=with_paths).response()

    async def on_validation(_: Request, error: Any) -> Response:
        return Problem(422, explain_validation(error)).response()

    async def on_http(_: Request, error: Any) -> Response:
        details = {
            404: "There is nothing at this address.",
            405: "This address does not know that method.",
        }
        detail = details.get(error.status_code, str(error.detail))
        return Problem(error.status_code, detail, headers=error.headers).response()

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(ResightError, on_resight_error)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(ValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
