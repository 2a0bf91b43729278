"""Prometheus and Grafana: what they ask for is what the service shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.alert.outbox import DeliveryState
from service.messages import DropReason, StreamState, StreamStatus, WorkerStatus
from service.metrics import Metrics, StreamCollector

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def _samples() -> set[str]:
    """Names as Prometheus stores them, `_total` and `_bucket` included."""
    status = StreamStatus(
        state=StreamState.LIVE,
        since=0.0,
        dropped={DropReason.FAULT: 1},
        frame_age_s=0.1,
        frame_age_p50_s=0.1,
        frame_age_p99_s=0.2,
        target_fps=10.0,
    )
    worker = WorkerStatus(
        id="w",
        started_at=0.0,
        seen_at=0.0,
        streams=1,
        device="cpu",
        engines={"small": "torch-fp32"},
    )
    metrics = Metrics()
    metrics.requests.labels("GET", "/", "200").inc()
    metrics.events.labels("started").inc()
    metrics.deleted_rows.labels("scores").inc()
    metrics.deliveries.labels("delivered").inc()
    metrics.closed_connections.labels("displaced").inc()
    metrics.messages.labels("dead").set(1)
    metrics.event_media.labels("clip", "written").inc()
    metrics.event_media_deleted.labels("age").inc()
    metrics.normal_footage.labels("kept").inc()
    metrics.normal_footage_deleted.labels("label").inc()
    collector = StreamCollector(lambda: {"cam": status}, lambda: [worker])
    families = [*metrics.registry.collect(), *collector.collect()]
    names = {sample.name for family in families for sample in family.samples}
    return {name for name in names if not name.endswith("_created")}


def _dashboard() -> dict[str, Any]:
    text = (DEPLOY / "grafana/dashboards/normwatch.json").read_text()
    dashboard: dict[str, Any] = json.loads(text)
    return dashboard


def _dashboard_expressions() -> list[str]:
    return [target["expr"] for panel in _dashboard()["panels"] for target in panel["targets"]]


def _alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def _names(expressions: list[str]) -> set[str]:
    return set(re.findall(r"normwatch_\w+", " ".join(expressions)))


def test_every_metric_of_the_dashboard_exists() -> None:
    assert _names(_dashboard_expressions()) - _samples() == set()


def test_every_metric_of_the_alerts_exists() -> None:
    assert _names([rule["expr"] for rule in _alerts()]) - _samples() == set()


def test_every_metric_is_on_the_dashboard() -> None:
    displayed = _names(_dashboard_expressions())
    kept = {name for name in _samples() if not name.endswith(("_sum", "_count"))}
    assert kept - displayed == set()


@pytest.mark.parametrize("label", ["state"])
def test_states_that_are_asked_for_exist(label: str) -> None:
    expressions = [*_dashboard_expressions(), *(rule["expr"] for rule in _alerts())]
    asked = re.findall(rf'{label}=~?"([a-z|]+)"', " ".join(expressions))
    named = {word for words in asked for word in words.split("|")}
    assert named
    assert named <= {state.value for state in (*StreamState, *DeliveryState)}


def test_alerts_say_what_is_wrong_and_how_bad_it_is() -> None:
    for rule in _alerts():
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = _dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_the_dashboard_uses_the_data_source_that_is_provisioned() -> None:
    sources = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text()
    )
    known = {source["uid"] for source in sources["datasources"]}
    assert {panel["datasource"]["uid"] for panel in _dashboard()["panels"]} <= known


def test_prometheus_asks_the_front_end_and_loads_the_alerts() -> None:
    configuration = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    assert configuration["rule_files"] == ["alerts.yml"]
    targets = configuration["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == ["api:8000"]
