"""HTTP around the endpoints: compression, HEAD, Allow, the security scheme."""

import pytest

from web_server import V1, running

PATHS = (f"{V1}/photos", f"{V1}/photos/1/original", "/static/main.js", "/", f"{V1}/openapi.json")


def test_json_and_scripts_are_compressed_but_no_pictures(server):
    sizes = {}
    for path in (*PATHS, "/static/style.css", f"{V1}/photos/1/thumbnail", "/static/icon.svg"):
        packed = server.client.get(path)
        plain = server.client.get(path, headers={"Accept-Encoding": "identity"})
        assert packed.content == plain.content
        assert "content-encoding" not in plain.headers
        sizes[path] = packed.headers.get("content-encoding"), packed.num_bytes_downloaded
    pictures = [path for path in sizes if path.endswith(("original", "thumbnail"))]
    assert [sizes[path][0] for path in pictures] == [None, None]
    scripts = [path for path in sizes if path.endswith((".js", ".css", "photos", ".json"))]
    assert {sizes[path][0] for path in scripts} == {"gzip"}
    assert server.client.get("/static/main.js").headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", PATHS)
def test_head_has_the_headers_of_get(server, path):
    head, get = server.client.head(path), server.client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length", "content-encoding", "etag", "cache-control"):
        assert head.headers.get(name) == get.headers.get(name)
    assert server.client.get(f"{V1}/health").json() == {"status": "ok"}  # on the same connection


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", f"{V1}/photos/1", "GET, HEAD"),
        ("PUT", f"{V1}/hints", "DELETE, GET, HEAD, POST"),
        ("HEAD", f"{V1}/search", "POST"),
        ("HEAD", f"{V1}/jobs/x/events", "GET"),  # it does not end
        ("DELETE", "/static/main.js", "GET, HEAD"),
    ],
)
def test_a_refused_method_names_the_allowed_ones(server, method, path, allow):
    response = server.client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allow)


def test_the_description_says_how_the_token_is_sent(few_collection):
    with running(few_collection) as server:
        open_ = server.get("/openapi.json")
    assert open_["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert "security" not in open_
    token = "0123456789abcdef-secret"
    with running(few_collection, token=token) as server:
        server.client.headers["Authorization"] = f"Bearer {token}"
        protected = server.get("/openapi.json")
    assert protected["security"] == [{"token": []}]
    assert protected["paths"][f"{V1}/health"]["get"]["security"] == []
