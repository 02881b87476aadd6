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
from starlette.requests import ClientDisconnect

from resight.errors import (
    CollectionEmptyError,
    CollectionError,
    CollectionLockedError,
    ImageError,
    ResightError,
    WeightsError,
)
from resight.web.transport import allowed_methods

MEDIA_TYPE = "application/problem+json"
HTTP_DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not support that method.",
}

logger = logging.getLogger("resight.web")


class ProblemError(Exception):
    """A request that cannot be answered; `detail` is a sentence for a person."""

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = http.HTTPStatus(status).phrase
        self.detail = detail
        self.headers = {"Cache-Control": "no-store", **(headers or {})}

    def response(self) -> Response:
        """Return the response to send."""
        content = {"type": "about:blank", "title": self.title, "status": self.status}
        body = json.dumps({**content, "detail": self.detail})
        return Response(body, self.status, self.headers, media_type=MEDIA_TYPE)


class ClientGoneError(ProblemError):
    """The client has disconnected; nobody will see the response."""

    def __init__(self) -> None:
        super().__init__(400, "The client closed the connection.")


def too_large(max_bytes: int) -> ProblemError:
    """Return the refusal of a body with more bytes than allowed."""
    return ProblemError(413, f"That is larger than the limit of {max_bytes / (1 << 20):g} MiB.")


def as_problem(error: ResightError, *, with_paths: bool) -> ProblemError:
    """Return the problem for one of Resight's own errors, whose text may name files.

    `with_paths` is whether the client may see that text; otherwise it only goes to the log.
    """
    if isinstance(error, ImageError):
        return ProblemError(422, f"The photo cannot be read: {error}.")
    if isinstance(error, CollectionLockedError):
        return ProblemError(409, "Another program is changing this collection; try again later.")
    if isinstance(error, CollectionEmptyError):
        return ProblemError(409, "The collection holds no photos yet; index some.")
    status, summary = 422, "That cannot be done"
    if isinstance(error, WeightsError):
        status = 503
        summary = "The network cannot be used; only photos of the collection can be searched with"
    elif isinstance(error, CollectionError):
        status, summary = 503, "The collection cannot be used"
    if with_paths:
        return ProblemError(status, f"{summary}: {error}.")
    logger.warning("%s", error)
    return ProblemError(status, f"{summary}; see the server's log.")


def describe_validation(error: RequestValidationError | ValidationError) -> str:
    """Return one sentence on what is wrong with the values of a request."""
    first = error.errors()[0]
    location = [str(part) for part in first["loc"] if part not in ("query", "path", "body")]
    message = str(first["msg"]).removeprefix("Value error, ")
    if location:
        return f"{'.'.join(location)}: {message}."
    return f"{message[:1].upper()}{message[1:]}."


def install_handlers(app: FastAPI, *, with_paths: bool) -> None:
    """Make an application answer every error with problem details; see `as_problem`."""

    async def handle(request: Request, error: Exception) -> Response:
        if isinstance(error, ResightError):
            error = as_problem(error, with_paths=with_paths)
        elif isinstance(error, RequestValidationError | ValidationError):
            error = ProblemError(422, describe_validation(error))
        elif isinstance(error, HTTPException):
            detail = HTTP_DETAILS.get(error.status_code, error.detail)
            headers = dict(error.headers or {})
            if error.status_code == 405:
                headers["Allow"] = allowed_methods(app.openapi(), request.url.path)
            error = ProblemError(error.status_code, detail, headers=headers)
        elif isinstance(error, ClientDisconnect):
            error = ClientGoneError()
        assert isinstance(error, ProblemError)
        return error.response()

    for kind in (ProblemError, ResightError, RequestValidationError, ValidationError):
        app.add_exception_handler(kind, handle)
    app.add_exception_handler(HTTPException, handle)
    app.add_exception_handler(ClientDisconnect, handle)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of an endpoint's errors."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    content = {"application/problem+json": {"schema": schema}}
    return {
        status: {"description": ProblemError(status, "").title, "content": content}
        for status in (401, 403, 421, *statuses)
    }
