"""Reading the bodies of requests: JSON, or a form with a photo."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from resight.web.limits import ClientGone
from resight.web.problems import Problem

ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_FIELD = 4096
"""Bytes of a field beside the photo."""


def is_form(request: Request) -> bool:
    """Whether a request sends a form with files."""
    return _media_type(request) == "multipart/form-data"


async def read_json(request: Request, model: type[ModelT]) -> ModelT:
    """The JSON body of a request, checked against a model.

    Raises:
        Problem: another media type, or the client left.
        pydantic.ValidationError: not JSON, or not of the model.
    """
    if _media_type(request) != "application/json":
        raise Problem(415, "Send application/json here (or a form with the photo, to search).")
    try:
        return model.model_validate_json(await request.body())
    except ClientDisconnect:
        raise ClientGone from None


@contextlib.asynccontextmanager
async def reading_form(request: Request) -> AsyncIterator[tuple[UploadFile, dict[str, str]]]:
    """The photo in a form, and the other fields; its file is closed when the block ends.

    Raises:
        Problem: no form, no photo in it, a field twice, or the client left.
    """
    parser = MultiPartParser(
        request.headers, _chunks(request), max_files=1, max_fields=16, max_part_size=MAX_FIELD
    )
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError) as error:
        message = getattr(error, "message", "the form is damaged")
        raise Problem(400, f"The form cannot be read: {str(message).rstrip('.')}.") from None
    except _LeftError:
        raise ClientGone from None
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Problem(422, "The form holds no photo: send it as the field “file”.")
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        if len(form.multi_items()) != len(fields) + 1:
            raise Problem(422, "The form holds a field twice.")
        yield file, fields
    finally:
        await form.close()


class _LeftError(OSError):
    """The client left; the parser closes its files on an OSError."""


async def _chunks(request: Request) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise _LeftError from None


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
