"""The OpenAPI document is complete, and the service does what it says to any request."""

from __future__ import annotations

import re

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error

METHODS = {"get", "post", "put", "patch", "delete"}


def _operations(
    document: dict[str, dict[str, dict[str, dict[str, object]]]],
) -> list[tuple[str, str, dict[str, object]]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]


def test_every_route_is_described_and_every_body_has_an_example(api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()
    operations = _operations(document)
    assert len(operations) >= 18
    for path, method, operation in operations:
        where = f"{method} {path}"
        assert operation.get("summary"), where
        assert operation.get("description"), where
        body = operation.get("requestBody")
        if isinstance(body, dict):
            content = next(iter(body["content"].values()))
            reference = content["schema"].get("$ref", "").rpartition("/")[2]
            schema = document["components"]["schemas"].get(reference, {})
            assert "example" in content or schema.get("examples"), where
    summaries = [operation["summary"] for _, _, operation in operations]
    assert len(set(summaries)) == len(summaries), "each summary says what the route is about"
    assert "HTTPValidationError" not in document["components"]["schemas"], "errors have one form"


def test_routes_of_webhooks_describe_no_other_kind_and_do_what_those_of_receivers_do(
    api: httpx.Client,
) -> None:
    document = api.get("/openapi.json").json()
    operations = {(path, method): each for path, method, each in _operations(document)}
    of_webhooks = [key for key in operations if key[0].startswith("/webhooks")]
    assert len(of_webhooks) == 11
    for path, method in of_webhooks:
        operation = operations[path, method]
        twin = operations[path.replace("/webhooks", "/receivers"), method]
        assert operation["responses"] == twin["responses"]
        texts = f"{operation['summary']} {operation['description']}"
        assert not re.search(r"MQTT|Apprise|409 for other kinds|\b(a|the) receiver\b", texts), path


def test_nothing_that_is_sent_makes_it_fail(api: httpx.Client, stream_id: str) -> None:
    document = api.get("/openapi.json").json()
    # An answer that never ends has a test of its own.
    del document["paths"]["/streams/{stream_id}/scores/live"]
    schema = schemathesis.openapi.from_dict(document)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 17

    for operation in operations:

        @settings(
            max_examples=12,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(), real=st.booleans())
        def ask(case: schemathesis.Case, real: bool) -> None:
            if real and "stream_id" in (case.path_parameters or {}):
                case.path_parameters["stream_id"] = stream_id
            # Sources that are reached are another test's: a look at each would take its time.
            if isinstance(case.body, dict) and "source" in case.body:
                case.body["source"] = "upload"
            case.call_and_validate(
                base_url=str(api.base_url), checks=[not_a_server_error], timeout=30
            )

        ask()
