"""The OpenAPI document: committed, and kept by the service for whatever Schemathesis thinks of."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from cli.embedded import EmbeddedBroker, EmbeddedDatabase
from config.settings import Settings
from db.session import Sessions, build_engine, build_sessions
from jobs.keys import Scope
from jobs.models import Models
from tests.conftest import _database
from tests.contracts import openapi_file
from tests.factories import make_key
from tests.integration.api.conftest import SPEC, open_client
from tests.integration.api.support import finish, photo, submit

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "12"))
"""Of each operation. A longer search: SCHEMATHESIS_EXAMPLES=300 pytest tests/contracts/test_openapi.py."""
MANIFEST = b'{"custom_id": "MUG-1", "image_url": "https://shop.example/mug.jpg"}\n'
# Bodies that no generator hits on: a photo that can be decoded, a field that judges more than its type.
GOOD: dict[str, tuple[str, dict[str, object]]] = {
    "POST /v1/jobs": ("multipart/form-data", {"image_file": photo()}),
    "POST /v1/jobs/{job_id}/outputs": ("application/json", {"name": "small", "format": "webp"}),
    "POST /v1/uploads": ("multipart/form-data", {"image_file": photo()}),
    "POST /v1/batches": ("multipart/form-data", {"file": MANIFEST}),
}
# These succeed once a worker has ended the batch; `tests/integration/api/test_batch_runs.py` has their good requests.
AFTER_THE_END = {"POST /v1/batches/{batch_id}/retry", "DELETE /v1/batches/{batch_id}"} | {
    f"GET /v1/batches/{{batch_id}}/{file}" for file in ("results.zip", "output.jsonl", "errors.jsonl")
}
DOCUMENT = openapi_file.document()
OPERATIONS = [
    f"{method.upper()} {path}" for path, methods in sorted(DOCUMENT["paths"].items()) for method in sorted(methods)
]


def test_the_committed_document_is_that_of_the_code() -> None:
    """After a change that is meant: make openapi."""
    assert openapi_file.FILE.read_text(encoding="utf-8") == openapi_file.text(), "run: make openapi"


class Service:
    """The application on real servers, and ids of things that are there."""

    def __init__(self, app: FastAPI, configured: Settings, sessions: Sessions) -> None:
        self.app, self.settings, self.sessions = app, configured, sessions
        schema = schemathesis.openapi.from_asgi("/openapi.json", app)
        self.operations = {found.ok().label: found.ok() for found in schema.get_all_operations()}

    def caller(self) -> tuple[str, dict[str, list[str]]]:
        """The token of a new caller, and ids of what is there for it, by the names of path parameters."""
        with self.sessions.begin() as session:
            token = make_key(session, "schemathesis", set(Scope)).token
        client = open_client(self.app, token)
        done = submit(client, webhook_url="https://hooks.example/job")["id"]
        finish(self.sessions, self.settings)
        waiting = submit(client)["id"]
        called, pulled = (_made(client, "webhook-endpoints", url=url) for url in ("https://hooks.example/", None))
        return token, {
            "job_id": [done, waiting],
            "name": ["cutout"],
            "endpoint_id": [called, pulled],
            "delivery_id": [_made(client, f"webhook-endpoints/{called}/ping")],
            "key_id": [_made(client, "keys", name="other")],
            "batch_id": [_sent(client, "batches", file=MANIFEST)],
            "upload_id": [_sent(client, "uploads", image_file=photo())],
        }


def _made(client: TestClient, path: str, **body: object) -> str:
    reply = client.post(f"/v1/{path}", json=body or None)
    assert reply.is_success, reply.text
    return reply.json()["id"]


def _sent(client: TestClient, path: str, **files: bytes) -> str:
    reply = client.post(f"/v1/{path}", files=files)
    assert reply.is_success, reply.text
    return reply.json()["id"]


@pytest.fixture(scope="module")
def service(
    postgres: EmbeddedDatabase, valkey: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("schemathesis")
    for url in _database(postgres, "template"):
        configured = Settings(database_url=url, broker_url=valkey.url, data_dir=folder, log_level="error")
        engine = build_engine(url)
        app = create_app(configured, models=Models((SPEC,)))
        with TestClient(app):  # its lifespan
            yield Service(app, configured, build_sessions(engine))
        engine.dispose()


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_operation_keeps_to_the_document(service: Service, label: str) -> None:
    """Good requests and bad ones, at real ids and made-up ones: never a 5xx, never a reply that is not described."""
    operation = service.operations[label]
    token, things = service.caller()
    statuses = set()
    cases = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )

    def call(case: schemathesis.Case) -> None:
        reply = case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)
        statuses.add(reply.status_code)

    if label.startswith("GET "):
        # Plainly, at a thing that is there: made-up filters find nothing, and made-up links open nothing.
        call(operation.Case(path_parameters={name: ids[0] for name, ids in things.items() if f"{{{name}}}" in label}))
    if label in GOOD:
        media_type, body = GOOD[label]
        call(operation.Case(path_parameters={"job_id": things["job_id"][0]}, body=body, media_type=media_type))

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=cases, data=st.data())
    def keeps_to_it(case: schemathesis.Case, data: st.DataObject) -> None:
        for name in case.path_parameters or {}:
            if name in things and data.draw(st.integers(0, 3)):
                case.path_parameters[name] = data.draw(st.sampled_from(things[name]))
        call(case)

    keeps_to_it()
    assert label in AFTER_THE_END or any(status < 400 for status in statuses), "no request went well: little was tested"
