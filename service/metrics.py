"""Declares every metric. The front end exports them; workers report through Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.messages import StreamState, StreamStatus, WorkerStatus

WORKER_CPU = "normwatch_worker_cpu_seconds"
FRONT_END_CPU = "normwatch_front_end_cpu_seconds"
OTHER_THREADS = "other"
"""Label of the front end's threads that serve the API, and of all unnamed ones."""
DELAY_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """The front end's own counters, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.requests = self._counter(
            "normwatch_http_requests_total", "Requests answered.", "method", "route", "status"
        )
        self.uploaded_frames = self._counter(
            "normwatch_uploaded_frames_total", "Uploaded frames accepted."
        )
        self.refused_frames = self._counter(
            "normwatch_refused_frames_total", "Uploaded frames refused, for a full backlog."
        )
        self.recorded_scores = self._counter(
            "normwatch_recorded_scores_total", "Scores written to the database."
        )
        self.record_delay = Histogram(
            "normwatch_record_delay_seconds",
            "From the scoring of a frame to the score's commit.",
            buckets=DELAY_BUCKETS_S,
            registry=self.registry,
        )
        self.record_failures = self._counter(
            "normwatch_record_failures_total",
            "Rounds of the recorder that failed and were tried again.",
        )
        self.deleted_rows = self._counter(
            "normwatch_deleted_rows_total",
            "Rows deleted for their age, or of deleted streams.",
            "table",
        )
        self.recording = self._gauge(
            "normwatch_recording", "1 while this front end is the one that records."
        )
        self.events = self._counter("normwatch_events_total", "Events found.", "type")
        self.outages = self._counter(
            "normwatch_outages_total",
            "Outages of streams that were reported, and their ends.",
            "type",
        )
        self.event_media = self._counter(
            "normwatch_event_media_total",
            "Pictures and clips of events: written, failed, or absent without pictures.",
            "kind",
            "outcome",
        )
        self.event_media_deleted = self._counter(
            "normwatch_event_media_deleted_total",
            "Files of events that were deleted, by reason.",
            "reason",
        )
        self.event_media_bytes = self._gauge(
            "normwatch_event_media_bytes", "Pictures and clips of events on this front end's disk."
        )
        self.normal_footage = self._counter(
            "normwatch_normal_footage_total",
            "Clips of events called normal: kept for the next training, or failed to be.",
            "outcome",
        )
        self.normal_footage_deleted = self._counter(
            "normwatch_normal_footage_deleted_total",
            "Clips of events called normal that were deleted, by reason.",
            "reason",
        )
        self.normal_footage_bytes = self._gauge(
            "normwatch_normal_footage_bytes",
            "Clips of events called normal on this front end's disk.",
        )
        self.learnings = self._counter(
            "normwatch_learnings_total",
            "Learnings that ended, by their state; and rounds of their keeper that failed (error).",
            "outcome",
        )
        self.closed_connections = self._counter(
            "normwatch_closed_connections_total",
            "Connections that the front end refused or closed, by reason.",
            "reason",
        )
        self.body_bytes = self._gauge(
            "normwatch_body_bytes", "Bodies of requests under way, which the budget limits."
        )
        self.deliveries = self._counter(
            "normwatch_deliveries_total", "Attempts to deliver a message.", "outcome"
        )
        self.messages = self._gauge(
            "normwatch_messages", "Messages that wait to be delivered, or were given up.", "state"
        )

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(name, documentation, labels, registry=self.registry)


FigureValue = float | Mapping[tuple[str, ...], float | None] | None
"""One value, or values by further labels; those that are None are left out."""
Reported = TypeVar("Reported")


@dataclass(frozen=True, slots=True)
class _Gauge(Generic[Reported]):
    """A figure that workers report of each stream, or of themselves."""

    name: str
    documentation: str
    read: Callable[[Reported], FigureValue]
    labels: tuple[str, ...] = ()
    """Further labels."""
    family: ClassVar[type[GaugeMetricFamily | CounterMetricFamily]] = GaugeMetricFamily

    def collect(self, owner: str, reports: Mapping[str, Reported]) -> Metric:
        family = self.family(self.name, self.documentation, labels=(owner, *self.labels))
        for ident, report in reports.items():
            for further, value in _list_samples(self.read(report)):
                family.add_metric([ident, *further], value)
        return family


def _list_samples(found: FigureValue) -> list[tuple[tuple[str, ...], float]]:
    values = {(): found} if found is None or isinstance(found, int | float) else found
    return [(labels, value) for labels, value in values.items() if value is not None]


class _Counter(_Gauge[Reported]):
    """A figure that only grows."""

    family = CounterMetricFamily


STREAM_FIGURES: tuple[_Gauge[StreamStatus], ...] = (
    _Counter(
        "normwatch_captured_frames", "Frames captured by the present owner.", lambda s: s.captured
    ),
    _Counter("normwatch_scored_frames", "Frames scored by the present owner.", lambda s: s.scored),
    _Counter(
        "normwatch_still_frames",
        "Scored frames that show the same as the frame before: the network didn't run.",
        lambda s: s.still,
    ),
    _Counter(
        "normwatch_computed_frames",
        "Pictures that the network ran for; of those that it ran for in part, their shares.",
        lambda s: s.computed,
    ),
    _Counter(
        "normwatch_dropped_frames",
        "Captured frames that got no score.",
        lambda s: {(reason.value,): count for reason, count in s.dropped.items()},
        ("reason",),
    ),
    _Counter("normwatch_reconnects", "Attempts to reach the source again.", lambda s: s.reconnects),
    _Gauge(
        "normwatch_frame_age_seconds",
        "Capture to score, of the newest scored frame.",
        lambda s: s.frame_age_s,
    ),
    _Gauge(
        "normwatch_frame_age_quantile_seconds",
        "Capture to score, over the last half minute.",
        lambda s: {("0.5",): s.frame_age_p50_s, ("0.99",): s.frame_age_p99_s},
        ("quantile",),
    ),
    _Gauge(
        "normwatch_scored_frames_per_second",
        "Frames scored a second, over the last few seconds.",
        lambda s: s.fps,
    ),
    _Gauge(
        "normwatch_target_frames_per_second",
        "Frames that would be scored if the worker had the time.",
        lambda s: s.target_fps,
    ),
    _Gauge(
        "normwatch_stream_degraded",
        "1 while there is no time to score all frames.",
        lambda s: s.degraded,
    ),
    _Gauge(
        "normwatch_stream_weight",
        "Weight of the stream's share of an overloaded worker.",
        lambda s: s.weight,
    ),
    _Gauge(
        "normwatch_stream_share",
        "Share of the frames that the stream's worker scores, 0 to 1.",
        lambda s: s.share,
    ),
    _Gauge(
        "normwatch_stream_state",
        "1 for the state a stream is in.",
        lambda s: {(state.value,): state is s.state for state in StreamState},
        ("state",),
    ),
    _Gauge(
        "normwatch_stream_state_since_seconds",
        "Time since which a stream is in its state, in seconds since 1970.",
        lambda s: s.since,
    ),
)
WORKER_FIGURES: tuple[_Gauge[WorkerStatus], ...] = (
    _Gauge("normwatch_worker_streams", "Cameras that a worker owns.", lambda w: w.streams),
    _Counter("normwatch_worker_batches", "Batches inferred.", lambda w: w.batches),
    _Counter("normwatch_worker_frames", "Frames inferred.", lambda w: w.frames),
    _Counter(
        "normwatch_worker_inference_seconds", "Time in the detector.", lambda w: w.inference_s
    ),
    _Counter(
        WORKER_CPU,
        "CPU time of a worker's process.",
        lambda w: {(stage,): seconds for stage, seconds in w.cpu_s.items()},
        ("stage",),
    ),
    _Gauge(
        "normwatch_worker_engine",
        "1 for the engine that runs a model.",
        lambda w: {model: 1.0 for model in w.engines.items()},
        ("model", "engine"),
    ),
    _Counter(
        "normwatch_worker_takeovers",
        "Cameras taken over from another worker.",
        lambda w: w.takeovers,
    ),
    _Counter(
        "normwatch_worker_handovers",
        "Cameras handed over to another worker.",
        lambda w: w.handovers,
    ),
    _Counter(
        "normwatch_dropped_previews",
        "Pictures that newer ones replaced before they could be sent.",
        lambda w: w.dropped_previews,
    ),
    _Counter(
        "normwatch_dropped_notes",
        "Entries of streams' logs that waited too long for Redis.",
        lambda w: w.dropped_notes,
    ),
)


@dataclass(frozen=True, eq=False)
class StreamCollector(Collector):
    """Collects what workers report of their streams and themselves, at each scrape."""

    statuses: Callable[[], Mapping[str, StreamStatus]]
    workers: Callable[[], Sequence[WorkerStatus]]
    backlog: Callable[[], int | None] = lambda: None

    def collect(self) -> Iterable[Metric]:
        statuses = self.statuses()
        for stream_figure in STREAM_FIGURES:
            yield stream_figure.collect("stream", statuses)
        backlog = GaugeMetricFamily(
            "normwatch_score_backlog", "Scores that wait in Redis for the database."
        )
        waiting = self.backlog()
        if waiting is not None:
            backlog.add_metric([], waiting)
        yield backlog
        workers = {worker.id: worker for worker in self.workers()}
        for worker_figure in WORKER_FIGURES:
            yield worker_figure.collect("worker", workers)


@dataclass(frozen=True, eq=False)
class FrontEndCollector(Collector):
    """Collects the front end's CPU time by thread, at each scrape."""

    threads: Callable[[], Mapping[str, float]]
    """Returns the CPU seconds of its named threads so far."""

    def collect(self) -> Iterable[Metric]:
        cpu = CounterMetricFamily(
            FRONT_END_CPU, "CPU time of the front end's process.", labels=["thread"]
        )
        named = self.threads()
        for name, seconds in named.items():
            cpu.add_metric([name], seconds)
        cpu.add_metric([OTHER_THREADS], max(0.0, time.process_time() - sum(named.values())))
        yield cpu
