"""Zones of a stream by API: accepted, changed, published to the workers, refused."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from service.bus.registry import Registry
from service.messages import Zone
from service.settings import Settings
from tests.support.front_end import client

DOOR = {"kind": "ignore", "points": [[0.5, 0], [1, 0], [1, 0.5], [0.5, 0.5]]}
PATH = {"kind": "watch", "points": [[0, 0.25], [1.0, 0.25], [0.5, 1.0]]}
WHOLE = [[0, 0], [1, 0], [1, 1], [0, 1]]


@pytest.fixture(scope="module")
def shared(module_settings: Settings) -> Iterator[httpx.Client]:
    """One front end for all small questions."""
    with client(module_settings) as made:
        yield made


def _read_published(redis: Redis, stream_id: str) -> tuple[Zone, ...]:
    return Registry(redis).streams()[stream_id].zones


def test_zones_are_accepted_changed_and_published_to_the_workers(
    api: httpx.Client, redis: Redis, stream_id: str
) -> None:
    body = {"name": "gate", "source": "upload", "zones": [DOOR, PATH]}
    made = api.post("/streams", json=body).json()
    assert made["zones"] == [DOOR, PATH]
    published = _read_published(redis, made["id"])
    assert [zone.kind for zone in published] == ["ignore", "watch"]
    assert published[1].points == ((0.0, 0.25), (1.0, 0.25), (0.5, 1.0))

    path = f"/streams/{stream_id}"
    assert api.get(path).json()["zones"] is None
    assert _read_published(redis, stream_id) == ()
    changed = api.patch(path, json={"zones": [PATH]}).json()
    assert (changed["zones"], changed["revision"]) == ([PATH], 2)
    assert api.patch(path, json={"zones": [PATH]}).json()["revision"] == 2, "nothing changed"
    assert api.patch(path, json={"threshold": 0.4}).json()["zones"] == [PATH]
    assert len(_read_published(redis, stream_id)) == 1
    for whole, revision in (([], 4), (None, 4)):
        changed = api.patch(path, json={"zones": whole}).json()
        assert (changed["zones"], changed["revision"]) == (None, revision)
        assert _read_published(redis, stream_id) == ()


@pytest.mark.parametrize(
    ("zones", "field", "value", "reason"),
    [
        ("all", "zones", "all", "valid list"),
        ([DOOR] * 21, "zones", None, "at most 20"),
        ([{"points": WHOLE}], "zones[0].kind", None, "required"),
        ([DOOR | {"kind": "blur"}], "zones[0].kind", "blur", "'watch', 'ignore' or 'standing'"),
        ([DOOR | {"name": "door"}], "zones[0].name", "door", "not permitted"),
        ([DOOR, {"kind": "watch"}], "zones[1].points", None, "required"),
        ([PATH | {"points": WHOLE[:2]}], "zones[0].points", None, "at least 3"),
        ([PATH | {"points": WHOLE * 13}], "zones[0].points", None, "at most 50"),
        ([PATH | {"points": [[0, 0], [1, 0], [1]]}], "zones[0].points[2]", None, "at least 2"),
        ([PATH | {"points": [[0, 0], [1, 0], [1, 1, 1]]}], "zones[0].points[2]", None, "at most 2"),
        ([PATH | {"points": [[0, 0], [1, 0], [1, "1"]]}], "zones[0].points[2][1]", "1", "number"),
        (
            [PATH | {"points": [[0, 0], [1, 0], [1, 1.01]]}],
            "zones[0].points[2][1]",
            "1.01",
            "less than or equal to 1",
        ),
        (
            [PATH | {"points": [[0, 0], [-0.1, 0], [1, 1]]}],
            "zones[0].points[1][0]",
            "-0.1",
            "greater than or equal to 0",
        ),
        (
            [PATH | {"points": [[0, 0], [float("nan"), 0], [1, 1]]}],
            "zones[0].points[1][0]",
            "nan",
            "finite",
        ),
        (
            [DOOR, PATH | {"points": [[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]]}],
            "zones[1].points",
            None,
            "at least 0.0001 of the picture",
        ),
        ([PATH | {"points": [[0, 0], [1, 1], [1, 0], [0, 1]]}], "zones[0].points", None, "cross"),
        ([{"kind": "ignore", "points": WHOLE}], "zones", None, "to be watched, got nothing"),
        ([DOOR | {"kind": "watch"}, DOOR], "zones", None, "to be watched, got nothing"),
        ([DOOR | {"kind": "standing"}, DOOR], "zones", None, "nothing of those of kind standing"),
        (
            [{"kind": "ignore", "points": [[0, 0], [1, 0], [1, 0.998], [0.01, 1], [0, 1]]}],
            "zones",
            None,
            "at least 0.001 of the picture",
        ),
    ],
)
def test_zones_that_cannot_be_are_refused(
    shared: httpx.Client, zones: object, field: str, value: str | None, reason: str
) -> None:
    before = shared.get("/streams").json()
    body = json.dumps({"name": "gate", "source": "upload", "zones": zones})
    answer = shared.post(
        "/streams", content=body.encode(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422, answer.text
    found = answer.json()["error"]["fields"][0]
    assert found["field"] == field
    if value is not None:
        assert found["value"] == value
    assert reason in found["reason"]
    assert shared.get("/streams").json() == before


coordinates = st.floats(0.0, 1.0) | st.sampled_from([0, 1, 0.5, 1, 0, 0.5, 0, 1, 1.01])
polygons = st.lists(st.lists(coordinates, min_size=2, max_size=2), min_size=3, max_size=6)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    zones=st.lists(
        st.fixed_dictionaries(
            {"kind": st.sampled_from(["watch", "ignore", "standing"]), "points": polygons}
        ),
        min_size=1,
        max_size=4,
    )
)
def test_zones_come_back_as_they_were_or_are_refused(
    shared: httpx.Client, zones: list[dict[str, object]]
) -> None:
    answer = shared.post("/streams", json={"name": "gate", "source": "upload", "zones": zones})
    assert answer.status_code in (201, 422)
    if answer.status_code == 201:
        made = answer.json()
        assert made["zones"] == zones
        assert shared.delete(f"/streams/{made['id']}").status_code == 204
    else:
        assert answer.json()["error"]["fields"][0]["field"].startswith("zones")
