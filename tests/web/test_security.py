"""Access control: tokens, hosts, origins, security headers, paths of the server."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from resight.errors import CollectionError, UsageError
from resight.web import WebSettings, serve
from resight.web.security import SECURITY_HEADERS, SMALL_BODY, is_allowed_host
from web_server import V1, Running, checked, running

TOKEN = "0123456789abcdef-secret"


@pytest.fixture(scope="module")
def server(few_collection: Path) -> Iterator[Running]:
    with running(few_collection) as started:
        yield started


def test_missing_and_wrong_tokens(few_collection):
    with running(few_collection, token=TOKEN) as server:
        get = server.client.get
        right = {"Authorization": f"Bearer {TOKEN}"}
        wrong = [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN},
                 {"Authorization": f"Basic {TOKEN}"}, {"Cookie": f"token={TOKEN}"},
                 {"Authorization": "Bearer \xe9"},
                 {"Authorization": f"Bearer {TOKEN[:-1]}"}]  # fmt: skip
        paths = [f"{V1}/collection", f"{V1}/photos/1/original", f"{V1}/openapi.json", "/metrics",
                 "/static/main.js", f"{V1}/nothing"]  # fmt: skip
        for path in paths:
            for headers in wrong:
                encoded = {name: value.encode("latin-1") for name, value in headers.items()}
                response = get(path, headers=encoded)
                checked(response, 401)
                assert response.headers["www-authenticate"] == "Bearer"
            assert get(path, headers=right).status_code == (404 if "nothing" in path else 200)
        body = {"action": "index"}
        checked(server.client.post(f"{V1}/jobs", json=body), 401)
        assert get(f"{V1}/health").status_code == 200
        page = get("/")
        assert page.status_code == 401
        assert TOKEN not in page.text
        assert get("/", params={"token": "wrong"}).status_code == 401


def test_the_address_with_the_token_is_exchanged_for_a_cookie(few_collection):
    with running(few_collection, token=TOKEN) as server:
        response = server.client.get("/", params={"token": TOKEN, "x": "1"})
        assert response.status_code == 303
        assert response.headers["location"] == "/?x=1"
        cookie = response.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=lax" in cookie.lower()
        assert server.client.get("/").status_code == 200  # the client keeps cookies
        assert server.get("/collection")["photos"] == 6


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "",
     "10.1.2.3", "user@localhost", "localhost:80:80", "[::2]", "localhost/", "127.0.0.2"],
)  # fmt: skip
def test_other_host_names_are_refused(server, host):
    response = server.client.get(f"{V1}/collection", headers={"Host": host})
    checked(response, 421)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9", "127.0.0.1:1", "[::1]:5", "localhost."]
)
def test_host_names_of_the_server(server, host):
    assert server.client.get(f"{V1}/health", headers={"Host": host}).status_code == 200


def test_hosts_of_a_server_on_all_addresses():
    everywhere = WebSettings(host="0.0.0.0", token=TOKEN, allowed_hosts=("photos.example",))
    for host in ("192.168.1.5:8765", "photos.example", "[fe80::1]:80", "localhost"):
        assert is_allowed_host(host, everywhere)
    for host in ("evil.example", "", "example"):
        assert not is_allowed_host(host, everywhere)


def test_pages_of_other_sites_are_refused(server):
    own = f"http://127.0.0.1:{server.port}"
    post, get = server.client.post, server.client.get
    refused = [{"Origin": "http://evil.example"}, {"Origin": "null"},
               {"Origin": f"http://127.0.0.1:{server.port + 1}"},
               {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
               {"Origin": own, "Sec-Fetch-Site": "cross-site"}]  # fmt: skip
    for headers in refused:
        checked(post(f"{V1}/search", json={"photo": 1}, headers=headers), 403)
        checked(post(f"{V1}/jobs", json={"action": "index"}, headers=headers), 403)
        checked(server.client.delete(f"{V1}/jobs/x", headers=headers), 403)
    checked(get(f"{V1}/photos/1/original", headers={"Sec-Fetch-Site": "cross-site"}), 403)
    for headers in ({"Origin": own}, {"Origin": own, "Sec-Fetch-Site": "same-origin"}, {}):
        assert post(f"{V1}/search", json={"photo": 1}, headers=headers).status_code == 200
    # A link on another site may lead to the page.
    assert get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
    assert "access-control-allow-origin" not in get(f"{V1}/collection").headers


def test_every_response_has_the_security_headers(server):
    client = server.client
    responses = [
        client.get("/"), client.get("/static/main.js"), client.get("/static/none"),
        client.get(f"{V1}/collection"), client.get(f"{V1}/photos/1/thumbnail"),
        client.get(f"{V1}/photos/1/original"), client.get(f"{V1}/photos/x"),
        client.get("/metrics"), client.get("/", headers={"Host": "evil.example"}),
        client.post(f"{V1}/search", files={"file": b"x"}), client.put(f"{V1}/search"),
        client.post(f"{V1}/search", json={"photo": 1}, headers={"Origin": "null"}),
        client.post(f"{V1}/jobs", content=bytes(SMALL_BODY + 9)),
    ]  # fmt: skip
    assert {response.status_code for response in responses} == {
        200,
        403,
        404,
        405,
        413,
        415,
        421,
        422,
    }
    for response in responses:
        for name, value in SECURITY_HEADERS.items():
            assert response.headers[name] == value
        assert "server" not in response.headers or "uvicorn" not in response.text
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy


def test_an_internal_failure_is_a_problem_without_details(few_collection, caplog):
    with running(few_collection) as server:

        def fail(token: str) -> None:
            raise RuntimeError("an internal secret")

        server.state.uploads.get = fail  # type: ignore[method-assign, assignment]
        response = server.client.get(f"{V1}/uploads/abc")
        assert "secret" not in checked(response, 500)["detail"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "an internal secret" in caplog.text
        assert server.search(photo=1)["total"] == 6


def test_other_machines_see_no_paths(few_collection, few_photos):
    with running(few_collection, host="0.0.0.0", token=TOKEN) as server:
        server.client.headers["Authorization"] = f"Bearer {TOKEN}"
        job = {"action": "index", "folders": [str(few_photos)]}
        responses = [
            server.client.get(f"{V1}/photos/1"),
            server.client.get(f"{V1}/photos"),
            server.client.get(f"{V1}/collection"),
            server.client.post(f"{V1}/search", json={"photo": 1}),
            server.client.post(f"{V1}/jobs", json=job),
        ]
        assert [response.status_code for response in responses] == [200, 200, 200, 200, 403]
        for response in responses:
            assert str(few_photos.parent) not in response.text
            assert str(few_collection.parent) not in response.text


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": "0.0.0.0", "token": None}, "token"),
        ({"host": "::", "token": None}, "token"),
        ({"host": "192.168.1.5", "token": None}, "token"),
        ({"host": "example.org", "token": None}, "token"),
        ({"host": "0.0.0.0", "token": "short"}, "at least 16"),
        ({"token": "short"}, "at least 16"),
        ({"token": "with a space in between"}, "token"),
        ({"token": ""}, "token"),
        ({"port": 70000}, "port"),
    ],
)
def test_invalid_settings(settings, message):
    with pytest.raises(UsageError, match=message):
        WebSettings(**settings)


def test_serving_without_a_collection_or_on_a_port_in_use(tmp_path, few_collection):
    with pytest.raises(CollectionError, match="no collection here"):
        serve(tmp_path, settings=WebSettings(token=None))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port}.*choose another"):
            serve(few_collection, settings=WebSettings(port=port))
