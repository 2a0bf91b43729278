"""Which threshold is in force, why, and how many false alarms are promised."""

from __future__ import annotations

import httpx
from redis import Redis
from sqlalchemy import select, update

from service.bus.registry import Registry
from service.calibrate.stream_thresholds import compute_basis
from service.store.database import Database
from service.store.tables import FootageRow, StreamRow, ThresholdRow


def _found(rows: Database, stream_id: str, threshold: float, made_at: float) -> None:
    """Add a threshold as the calibrator leaves it."""
    with rows.write() as session:
        stream = session.get_one(StreamRow, stream_id)
        stream.calibrated_threshold = threshold
        stream.revision += 1
        key = compute_basis(stream)
        session.add(
            ThresholdRow(
                stream_id=stream_id, made_at=made_at, model="small", false_alarms_per_day=1.0,
                threshold=threshold, low=0.35, high=0.5, footage_s=1200.0,
                fit={"basis": key, "peaks": 31, "highest": 0.33, "labels": 0},
            )
        )  # fmt: skip
        number = int(made_at)
        session.add(
            FootageRow(
                stream_id=stream_id, number=number, basis=key, last_frame=9, seconds=600.0,
                peaks=[0.1, 0.2],
            )
        )  # fmt: skip


def test_without_footage_the_models_threshold_is_in_force(
    api: httpx.Client, stream_id: str
) -> None:
    assert api.get(f"/streams/{stream_id}/threshold").json() == {
        "stream_id": stream_id,
        "threshold": 0.5,
        "origin": "model",
        "false_alarms_per_day": 1.0,
        "calibrated": None,
        "footage": {"seconds": 0.0, "peaks": 0, "least_seconds": 600.0, "least_peaks": 20},
        "history": [],
    }


def test_a_calibrated_threshold_is_shown_with_what_it_rests_on(
    api: httpx.Client, rows: Database, stream_id: str
) -> None:
    for threshold, made_at in ((0.45, 100.0), (0.41, 200.0)):
        _found(rows, stream_id, threshold, made_at)
    shown = api.get(f"/streams/{stream_id}/threshold").json()
    assert (shown["threshold"], shown["origin"]) == (0.41, "calibrated")
    assert shown["calibrated"] == {
        "made_at": "1970-01-01T00:03:20.000000Z",
        "model": "small",
        "false_alarms_per_day": 1.0,
        "threshold": 0.41,
        "low": 0.35,
        "high": 0.5,
        "footage_s": 1200.0,
        "peaks": 31,
        "highest": 0.33,
    }
    assert [each["threshold"] for each in shown["history"]] == [0.41, 0.45]
    assert (shown["footage"]["seconds"], shown["footage"]["peaks"]) == (1200.0, 4)
    one = api.get(f"/streams/{stream_id}/threshold", params={"limit": 1}).json()
    assert len(one["history"]) == 1
    assert api.get(f"/streams/{stream_id}").json()["status"]["threshold"] == 0.41


def test_the_streams_own_threshold_wins_and_null_takes_the_calibrated_one_back(
    api: httpx.Client, rows: Database, redis: Redis, stream_id: str
) -> None:
    _found(rows, stream_id, 0.41, 100.0)
    path = f"/streams/{stream_id}"
    for given, origin, in_force in ((0.7, "stream", 0.7), (None, "calibrated", 0.41)):
        assert api.patch(path, json={"threshold": given}).status_code == 200
        shown = api.get(f"{path}/threshold").json()
        assert (shown["origin"], shown["threshold"]) == (origin, in_force)
        assert Registry(redis).streams()[stream_id].threshold == in_force


def test_a_calibrated_threshold_goes_with_the_configuration_that_it_was_found_for(
    api: httpx.Client, rows: Database, redis: Redis, stream_id: str
) -> None:
    path = f"/streams/{stream_id}"
    changes = ({"name": "other"}, {"gamma": 0.2}, {"fps": 5.0})
    for number, (change, stays) in enumerate(zip(changes, (True, False, False), strict=True), 1):
        _found(rows, stream_id, 0.41, 100.0 * number)
        assert api.patch(path, json=change).status_code == 200
        shown = api.get(f"{path}/threshold").json()
        assert shown["origin"] == ("calibrated" if stays else "model")
        assert (shown["calibrated"] is not None) is stays
        assert Registry(redis).streams()[stream_id].threshold == (0.41 if stays else None)
        assert len(shown["history"]) == number


def test_the_promise_is_the_streams_own_or_the_operators(
    api: httpx.Client, rows: Database, stream_id: str
) -> None:
    path = f"/streams/{stream_id}"
    assert api.get(path).json()["false_alarms_per_day"] is None
    changed = api.patch(path, json={"false_alarms_per_day": 0.5}).json()
    assert changed["false_alarms_per_day"] == 0.5
    assert api.get(f"{path}/threshold").json()["false_alarms_per_day"] == 0.5
    api.patch(path, json={"false_alarms_per_day": None})
    assert api.get(f"{path}/threshold").json()["false_alarms_per_day"] == 1.0
    made = api.post(
        "/streams", json={"name": "x", "source": "upload", "false_alarms_per_day": 3.0}
    ).json()
    assert made["false_alarms_per_day"] == 3.0
    with rows.read() as session:
        kept = session.scalars(select(StreamRow.false_alarms_per_day)).all()
    assert sorted(kept, key=str) == [3.0, None]


def test_an_impossible_promise_is_refused(api: httpx.Client, stream_id: str) -> None:
    for wrong in (0, -1, 1001, "many"):
        answer = api.patch(f"/streams/{stream_id}", json={"false_alarms_per_day": wrong})
        assert answer.status_code == 422
        (field,) = answer.json()["error"]["fields"]
        assert (field["field"], field["value"]) == ("false_alarms_per_day", str(wrong))


def test_a_stream_that_is_not_there_has_no_threshold(api: httpx.Client) -> None:
    assert api.get("/streams/nobody/threshold").status_code == 404


def test_a_model_that_is_gone_leaves_none(
    api: httpx.Client, rows: Database, stream_id: str
) -> None:
    with rows.write() as session:
        session.execute(update(StreamRow).values(model="gone"))
    shown = api.get(f"/streams/{stream_id}/threshold").json()
    assert (shown["threshold"], shown["origin"]) == (None, "model")
