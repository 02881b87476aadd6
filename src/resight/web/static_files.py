"""The page's files, read once: an address is looked up by name and never becomes a path."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response

from resight.web.app_state import if_none_match
from resight.web.problems import Problem

FOLDER = Path(__file__).parent / "static"

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True)
class StaticFile:
    """A file of the page."""

    data: bytes
    media_type: str
    etag: str


def read_static_files(folder: Path = FOLDER) -> dict[str, StaticFile]:
    """The files of the page by their path below the folder, with slashes."""
    files = {}
    for path in sorted(folder.rglob("*")):
        media_type = MEDIA_TYPES.get(path.suffix)
        if media_type is not None and path.is_file():
            data = path.read_bytes()
            etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
            files[path.relative_to(folder).as_posix()] = StaticFile(data, media_type, etag)
    return files


def router() -> APIRouter:
    """The endpoints of the page."""
    routes = APIRouter(include_in_schema=False)
    files = read_static_files()

    def answer(request: Request, name: str) -> Response:
        file = files.get(name)
        if file is None:
            raise Problem(404, "There is nothing at this address.")
        headers = {"ETag": file.etag, "Cache-Control": "private, no-cache"}
        if if_none_match(request.headers.get("if-none-match"), file.etag):
            return Response(status_code=304, headers=headers)
        return Response(file.data, headers=headers, media_type=file.media_type)

    @routes.get("/")
    async def page(request: Request) -> Response:
        return answer(request, "index.html")

    @routes.get("/favicon.ico")
    async def icon(request: Request) -> Response:
        return answer(request, "icon.svg")

    @routes.get("/static/{name:path}")
    async def static(request: Request, name: str) -> Response:
        return answer(request, name)

    return routes
