"""The histogram that takes many values at once."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from service.metrics import DELAY_BUCKETS_S, DelayHistogram


def test_it_shows_what_prometheus_own_histogram_shows() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = DelayHistogram("delay_seconds", "A delay.")
    ours.register(histogram)
    reference = Histogram("delay_seconds", "A delay.", buckets=DELAY_BUCKETS_S, registry=theirs)
    for batch in ([], [0.0, 0.05, 0.0500001, 7.0], [1000.0, 0.3, 0.25]):
        histogram.observe(batch)
        for value in batch:
            reference.observe(value)

    def list_families(registry: CollectorRegistry) -> list[str]:
        lines = generate_latest(registry).decode().splitlines()
        return [line for line in lines if "_created" not in line]

    assert list_families(ours) == list_families(theirs)
