"""Property tests of the HTTP interface, generated from its OpenAPI description."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from resight.progress import Progress
from resight.web import detail_routes
from web_server import Running, running

V1 = "/api/v1"
OPERATIONS = {
    ("get", f"{V1}/collection"),
    ("get", f"{V1}/photos"),
    ("get", f"{V1}/photos/{{id}}"),
    ("get", f"{V1}/photos/{{id}}/thumbnail"),
    ("get", f"{V1}/photos/{{id}}/original"),
    ("get", f"{V1}/uploads/{{token}}"),
    ("get", f"{V1}/photos/{{id}}/details"),
    ("post", f"{V1}/photos/{{id}}/reveal"),
    ("get", f"{V1}/folders"),
    ("get", f"{V1}/failed"),
    ("post", f"{V1}/search"),
    ("post", f"{V1}/explain"),
    ("post", f"{V1}/same"),
    ("get", f"{V1}/groups"),
    ("get", f"{V1}/groups.csv"),
    ("get", f"{V1}/groups.json"),
    ("post", f"{V1}/jobs"),
    ("get", f"{V1}/jobs/{{id}}"),
    ("delete", f"{V1}/jobs/{{id}}"),
    ("get", f"{V1}/jobs/{{id}}/events"),
    ("get", f"{V1}/hints"),
    ("post", f"{V1}/hints"),
    ("delete", f"{V1}/hints"),
    ("delete", f"{V1}/hints/{{id}}"),
    ("get", f"{V1}/names"),
    ("post", f"{V1}/names"),
    ("delete", f"{V1}/names"),
    ("post", f"{V1}/names/search"),
    ("get", f"{V1}/moves"),
    ("get", f"{V1}/watch"),
    ("post", f"{V1}/watch"),
    ("get", f"{V1}/health"),
    ("get", "/metrics"),
}

CONFORM = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def server(few_collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    own = tmp_path_factory.mktemp("schema") / "collection"
    shutil.copytree(few_collection, own)
    with running(own) as started, pytest.MonkeyPatch.context() as patch:
        patch.setattr(detail_routes, "reveal", lambda path: None)  # opens no window
        # No other job may start here and empty the collection.
        started.state.jobs.start("index", _wait)
        yield started


def _wait(progress: Progress) -> dict[str, Any]:
    while True:
        progress("waiting", 0, 1)  # ends when the server does
        time.sleep(0.05)


@pytest.fixture(scope="module")
def api(server: Running) -> schemathesis.schemas.BaseSchema:
    return schemathesis.openapi.from_url(f"{server.url}{V1}/openapi.json")


def test_the_description_names_every_endpoint(api):
    described = {(o.method, o.path) for o in (result.ok() for result in api.get_all_operations())}
    assert described == OPERATIONS


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
def test_responses_are_as_described(server, api, method, path, mode):
    operation = api[path][method]
    checks = [*CONFORM, negative_data_rejection] if mode.is_negative else CONFORM
    takes_nothing = not list(operation.iter_parameters()) and not operation.body
    if takes_nothing and mode.is_negative:
        return

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=1 if takes_nothing else 10,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case: schemathesis.Case) -> None:
        response = case.call_and_validate(checks=checks)
        if response.status_code >= 400:
            assert response.headers["content-type"] == ["application/problem+json"]
            assert response.json()["detail"]
        assert response.headers["x-content-type-options"] == ["nosniff"]

    check()
    assert server.search(photo=1)["total"] == 6  # the server still answers
