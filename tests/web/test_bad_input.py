"""Invalid requests: they are refused with a sentence, and the server keeps running."""

import contextlib
import http.client
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from resight.web import MIB
from web_server import V1, Running, checked, running


@pytest.fixture(scope="module")
def shared_server(few_collection: Path) -> Iterator[Running]:
    with running(few_collection, max_pixels=4_000_000, max_upload_bytes=8 * MIB) as started:
        yield started


@pytest.fixture
def server(shared_server: Running) -> Iterator[Running]:
    """Start a server that must still answer after each test."""
    yield shared_server
    assert shared_server.search(photo=1, k=3)["results"][0]["id"] == 1
    assert shared_server.state.active_uploads.running == 0
    assert shared_server.state.search_queue.waiting == 0


@pytest.fixture
def jpeg(few_photos: Path) -> bytes:
    return (few_photos / "object-01" / "view-1.jpg").read_bytes()


def png_bomb(width: int, height: int) -> bytes:
    """Return a few bytes that claim to be a picture of any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


# Photos


@pytest.mark.parametrize(
    ("data", "status", "detail"),
    [
        (b"", 415, "empty"),
        (b"no photo at all", 415, "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "not an image"),
        (png_bomb(50_000, 50_000), 413, "50000 x 50000 pixels"),
        (png_bomb(2_000, 2_001), 413, "2000 x 2001 pixels"),
        (png_bomb(2_000, 1_000), 422, "cannot be read"),
    ],
    ids=["empty", "text", "svg", "postscript", "bomb", "a little too large", "damaged"],
)
def test_files_that_are_not_photos(server, data, status, detail):
    assert detail in server.upload(data, status=status)["detail"]


def test_a_truncated_photo(server, jpeg):
    assert "truncated" in server.upload(jpeg[: len(jpeg) // 2], status=422)["detail"]


def test_the_content_decides_not_the_media_type(server, jpeg):
    for name, kind in [("a.png", "image/png"), ("../../x", "text/html"), ("", "application/json")]:
        files = {"file": (name or "x", jpeg, kind)}
        response = checked(server.client.post(f"{V1}/search", files=files), 200)
        assert response["results"][0]["distance"] == 0
    gif = io.BytesIO()
    Image.new("RGB", (9, 9)).save(gif, "GIF")
    files = {"file": ("a.jpg", gif.getvalue(), "image/jpeg")}
    response = checked(server.client.post(f"{V1}/search", files=files), 200)
    stored = server.client.get(f"{V1}/uploads/{response['query']['upload']}")
    assert stored.headers["content-type"] == "image/gif"


# Values


@pytest.mark.parametrize(
    "box",
    ["0,0,9641,1", "639,639,2,2", "0,0,0,5", "5,5,5,0", "9640,0,1,1", "1,2,3", "a,b,c,d", "",
     "1,1,9999999,1", "-1,0,5,5", "1.5,0,5,5", "0,0,5,5,5", "0, 0, 5, 5", "٣,0,5,5"],
)  # fmt: skip
def test_invalid_boxes(server, jpeg, box):
    problem = server.upload(jpeg, status=422, box=box)
    assert "box" in problem["detail"].lower()
    server.search(photo=4, box=box, status=422)


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"k": 0}, "k:"),
        ({"k": 1001}, "k:"),
        ({"k": "many"}, "k:"),
        ({"k": "1e3"}, "k:"),
        ({"offset": -1}, "offset:"),
        ({"limit": "nan"}, "limit:"),
        ({"limit": "inf"}, "limit:"),
        ({"limit": -0.5}, "limit:"),
        ({"verify": 51}, "verify:"),
        ({"colour": "red"}, "colour:"),
        ({"url": "x"}, "url:"),
        ({"under": "photos"}, "under:"),
        ({"under": "~/photos"}, "under:"),
        ({"under": ""}, "under:"),
        ({"under": "/photos\0/x"}, "under:"),
        ({"taken_from": "yesterday"}, "write it like 2019-06 or 2020-01-31T12:00."),
        ({"taken_from": "2020-01-01T00:00:00Z"}, "taken_from:"),
        ({"taken_from": "0000"}, "There is no time"),
        ({"taken_before": "2020-02-30"}, "There is no time"),
        ({"min_side": 0}, "min_side:"),
        ({"min_side": 10**7}, "min_side:"),
    ],
)
def test_invalid_options(server, jpeg, fields, detail):
    assert detail in server.upload(jpeg, status=422, **fields)["detail"]


@pytest.mark.parametrize(
    "body",
    [{}, [], 7, "photo", {"photo": "1"}, {"photo": True}, {"photo": 0}, {"photo": 2**63},
     {"photo": 1, "upload": "x"}, {"photo": 1, "k": "3"}, {"photo": 1, "box": [1, 2, 3, 4]},
     {"photo": 1, "more": 1}, {"photo": 1.5}, {"photo": 1, "min_side": "3"},
     {"photo": 1, "min_side": True}, {"photo": 1, "taken_from": 2020}, {"photo": 1, "under": 7},
     {"photo": 1, "under": "/" + 4096 * "x"}],
)  # fmt: skip
def test_invalid_json(server, body):
    checked(server.client.post(f"{V1}/search", json=body), 422)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b'{"photo": "\xff"}', "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b'{"photo": 1}', "text/plain", 415),
        (b'{"photo": 1}', "image/jpeg", 415),
        (b'{"photo": 1}', "", 415),
        (b"photo=1", "application/x-www-form-urlencoded", 415),
        (b"no parts", "multipart/form-data", 400),
        (b"no parts", "multipart/form-data; boundary=x", 400),
        (b"--x\r\n\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x", 400),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422),
        (b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\nabc\r\n--x--\r\n",
         "multipart/form-data; boundary=x", 422),
    ],
)  # fmt: skip
def test_invalid_bodies(server, content, kind, status):
    headers = {"Content-Type": kind} if kind else {}
    response = server.client.post(f"{V1}/search", content=content, headers=headers)
    checked(response, status)


def test_forms_with_too_many_fields(server, jpeg):
    photo = ("photo.jpg", jpeg, "image/jpeg")
    post = server.client.post
    checked(post(f"{V1}/search", files=[("file", photo), ("file", photo)]), 400)
    many = {f"field{n}": "x" for n in range(40)}
    checked(post(f"{V1}/search", files={"file": photo}, data=many), 400)
    checked(post(f"{V1}/search", files={"file": photo}, data={"box": "1" * 10_000}), 400)
    checked(post(f"{V1}/search", files={"file": photo}, data={"k": ["3", "4"]}), 422)


def test_unknown_names(server):
    server.search(photo=999, status=404)
    server.search(upload="nothing-of-that-name", status=404)
    for path in ("/photos/999", "/photos/999/thumbnail", "/photos/999/original", "/jobs/none",
                 "/jobs/none/events", "/uploads/none", "/nothing", "/"):  # fmt: skip
        server.get(path, status=404)
    checked(server.client.post(f"{V1}/jobs", json={"action": "remove", "photos": [999]}), 404)
    checked(server.client.put(f"{V1}/search"), 405)
    checked(server.client.post("/"), 405)


@pytest.mark.parametrize(
    "body",
    [{"action": "format"}, {"action": "remove"}, {"action": "remove", "photos": []},
     {"action": "index", "photos": [1]}, {"action": "index", "folders": ["relative"]},
     {"action": "index", "folders": ["/\0"]}, {"action": "index", "folders": [""]},
     {"action": "remove", "photos": [1], "folders": ["/"]}],
)  # fmt: skip
def test_invalid_jobs(server, body):
    response = server.client.post(f"{V1}/jobs", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert not server.state.jobs.running


def test_addresses_are_not_fetched_by_default(server):
    server.search(url="http://127.0.0.1/photo.jpg", status=403)


def test_addresses_of_this_machine_are_never_fetched(few_collection, server):
    with running(few_collection, allow_urls=True) as other:
        port = server.port
        for url in (f"http://127.0.0.1:{port}/", f"http://localhost:{port}/static/icon.svg",
                    f"http://[::1]:{port}/", "http://10.0.0.1/", "http://169.254.169.254/latest",
                    "http://0.0.0.0/", f"http://[::ffff:127.0.0.1]:{port}/", "http://0x7f.1/",
                    "file:///etc/passwd", "ftp://example.org/", "http://", "http://user@127.0.0.1/",
                    "nonsense", "http://127.0.0.1:99999/", "http://\r\nHost: x/"):  # fmt: skip
            other.search(url=url, status=422)


# Paths


@pytest.mark.parametrize("root", ["", "/static", f"{V1}/photos", f"{V1}/uploads", f"{V1}/jobs", V1])
@pytest.mark.parametrize(
    "path",
    ["/../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd",
     "/..%5c..%5cetc%5cpasswd", "/%252e%252e%252fetc%252fpasswd", "//etc/passwd",
     "/%2fetc%2fpasswd",
     "/../app.py", "/..%2fapp.py", "/%00", "/a%00.js", "/main.js%00", "/%ff%fe", "/./main.js/..",
     "/1/../../../etc/passwd", "/1%2f..%2f..%2foriginal"],
)  # fmt: skip
def test_no_path_leaves_the_served_folders(server, root, path):
    # As it is written: httpx would tidy it up.
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with contextlib.closing(connection):
        connection.putrequest("GET", root + path)
        connection.endheaders()
        response = connection.getresponse()
        body = response.read()
    assert response.status in (404, 422)
    assert response.headers["content-type"] == "application/problem+json"
    assert b"root:" not in body
    assert b"import" not in body


def test_file_names_and_tokens_are_not_used_as_paths(server, jpeg):
    for name in ("../../../evil.jpg", "/etc/evil", "..\\evil", "a\0b", "x" * 5000):
        files = {"file": (name, jpeg)}
        assert server.client.post(f"{V1}/search", files=files).status_code in (200, 400)
    for token in ("../../../etc/passwd", "/etc/passwd", "..", ".", "\0"):
        server.search(upload=token, status=404)
    assert not list(Path.cwd().rglob("evil*"))
