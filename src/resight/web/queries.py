"""Query photos, and the bodies of requests: JSON, or a form with a photo."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image
from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from resight.backends.store import Store
from resight.collection.reader import Photo
from resight.errors import UsageError
from resight.photos.images import image_size, load_image
from resight.photos.transforms import Box, check_box, crop_box, scale_box
from resight.web.problems import ClientGoneError, ProblemError

ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_FIELD_BYTES = 4096


@dataclass(frozen=True)
class QueryImage:
    """A query photo: its file, content (SHA-256) and upright size in pixels.

    `photo` is its id if it is a photo of the collection, `upload` its random name if it was
    uploaded, and then `file_size` its bytes.
    """

    path: Path
    content: str
    size: tuple[int, int]
    photo: int | None = None
    upload: str | None = None
    file_size: int = 0

    @classmethod
    def of_photo(cls, photo: Photo) -> "QueryImage":
        """Return a photo of the collection as a query."""
        size = int(photo.width or 0), int(photo.height or 0)
        return cls(photo.path, str(photo.content), size, photo=photo.id)

    def check_box(self, box: Box | None) -> None:
        """Refuse a box that is not inside the photo."""
        if box is None:
            return
        try:
            check_box(box, self.size)
        except UsageError as error:
            raise ProblemError(422, f"{error}.") from None

    def load(self, box: Box | None) -> Image.Image:
        """Load the photo upright, cut to the box if there is one."""
        image = load_image(self.path)
        if box is None:
            return image
        size = image_size(self.path)
        if size != self.size:
            raise ProblemError(409, "The photo has changed since it was indexed; re-index it.")
        return crop_box(image, scale_box(box, size, image.size))


def parse_box(text: str | None) -> Box | None:
    """Parse `x,y,w,h`, which the schema has checked."""
    if text is None:
        return None
    x, y, w, h = (int(part) for part in text.split(","))
    return x, y, w, h


def photo_by_id(store: Store, id_: int) -> Photo:
    """Return a photo that can be searched."""
    photos = store.photos_by_id([id_])
    if id_ not in photos:
        raise ProblemError(404, f"There is no photo {id_} in this collection.")
    return photos[id_]


async def read_json(request: Request, model: type[ModelT]) -> ModelT:
    """Read the JSON body of a request; a number in it must be a number, not text."""
    if _media_type(request) != "application/json":
        raise ProblemError(415, "Send application/json (or a form with the photo, to search).")
    try:
        return model.model_validate_json(await request.body(), strict=True)
    except ClientDisconnect:
        raise ClientGoneError from None


def is_form(request: Request) -> bool:
    """Return whether a request sends a form with files."""
    return _media_type(request) == "multipart/form-data"


@contextlib.asynccontextmanager
async def open_form(request: Request) -> AsyncIterator[tuple[UploadFile, dict[str, str]]]:
    """Open the photo in a form, and its other fields; close the file when the block ends."""
    parser = MultiPartParser(
        request.headers, _chunks(request), max_files=1, max_fields=16, max_part_size=MAX_FIELD_BYTES
    )
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError) as error:
        message = getattr(error, "message", "the form is damaged")
        raise ProblemError(400, f"The form cannot be read: {str(message).rstrip('.')}.") from None
    except _DisconnectError:
        raise ClientGoneError from None
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise ProblemError(422, "The form has no photo: send it as the field “file”.")
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        if len(form.multi_items()) != len(fields) + 1:
            raise ProblemError(422, "The form has the same field twice.")
        yield file, fields
    finally:
        await form.close()


class _DisconnectError(OSError):
    """The client left; the parser closes its files on an OSError."""


async def _chunks(request: Request) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise _DisconnectError from None


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
