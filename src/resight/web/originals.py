"""Files of photos as they were indexed: what has changed since is never sent to a client."""

import contextlib
import hashlib
import io
import os
from pathlib import Path

from resight.collection import Photo
from resight.photos import is_remote, open_photo
from resight.web.problems import ProblemError


def open_indexed(photo: Photo) -> io.BufferedReader | io.BytesIO:
    """Open the file of a photo whose content is unchanged since indexing.

    Whoever can write where photos are could otherwise show clients of the server any file that the
    server can read, by a link in place of a photo.

    Raises:
        ProblemError: 404 if it cannot be read, 403 if a link to something else has taken its
            place, 409 if its content has changed.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = open_photo(photo.path)
            stack.enter_context(file)
            same = _is_same(file, photo)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ProblemError(404, f"The photo's file cannot be read: {reason}.") from None
        if not same:
            raise _changed(photo.path)
        stack.pop_all()
        return file


def check_unchanged(photo: Photo) -> None:
    """Refuse a photo whose file has changed since indexing; see `open_indexed`."""
    open_indexed(photo).close()


def _is_same(file: io.BufferedReader | io.BytesIO, photo: Photo) -> bool:
    if isinstance(file, io.BufferedReader) and os.fstat(file.fileno()).st_size != photo.size:
        return False
    same = hashlib.file_digest(file, "sha256").hexdigest() == photo.content
    file.seek(0)
    return same


def _changed(path: Path) -> ProblemError:
    if not is_remote(path) and path.is_symlink():
        detail = "A link to another file has taken the place of this photo; it is not followed."
        return ProblemError(403, detail)
    detail = "The photo's file has changed since it was indexed; index its folder again."
    return ProblemError(409, detail)
