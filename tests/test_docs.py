"""The documents name every setting, metric and endpoint, and the README's files are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric

from service.api.app import create_app
from service.messages import DropReason, StreamState, StreamStatus, WorkerStatus
from service.metrics import FrontEndCollector, Metrics, StreamCollector
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[1]


def _text(name: str) -> str:
    return (ROOT / name).read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    assert f"`NORMWATCH_{name.upper()}`" in _text("docs/settings.md")


def test_every_documented_setting_exists() -> None:
    documented = set(re.findall(r"`NORMWATCH_([A-Z_]+)`", _text("docs/settings.md")))
    assert {name.lower() for name in documented} == set(Settings.model_fields)


def _families() -> list[Metric]:
    status = StreamStatus(
        state=StreamState.LIVE, since=0.0, dropped={DropReason.FAULT: 1}, frame_age_s=0.1
    )
    worker = WorkerStatus(id="w", started_at=0.0, seen_at=0.0, streams=1, device="cpu")
    collector = StreamCollector(lambda: {"cam": status}, lambda: [worker])
    front_end = FrontEndCollector(lambda: {})
    return [*Metrics().registry.collect(), *collector.collect(), *front_end.collect()]


def test_every_metric_is_documented() -> None:
    text = _text("docs/metrics.md")
    for family in _families():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"`{name}`" in text


def test_every_endpoint_is_documented(tmp_path: Path) -> None:
    settings = Settings(redis_url="redis://127.0.0.1:1", data_dir=tmp_path)
    text = _text("docs/api.md")
    for path, methods in create_app(settings).openapi()["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in text


def test_links_of_the_readme_lead_somewhere() -> None:
    for document in ("README.md", "CONTRIBUTING.md", *map(str, (ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", _text(document)):
            assert ((ROOT / document).parent / target).exists(), f"{document}: {target}"
