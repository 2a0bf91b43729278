"""Every metric, in one place. The front end shows them; workers report through Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.messages import StreamState, StreamStatus, WorkerStatus

DELAY_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """The front end's own counters, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.requests = Counter(
            "normwatch_http_requests_total",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.uploaded_frames = Counter(
            "normwatch_uploaded_frames_total", "Uploaded frames accepted.", registry=self.registry
        )
        self.refused_frames = Counter(
            "normwatch_refused_frames_total",
            "Uploaded frames refused, for a full backlog.",
            registry=self.registry,
        )
        self.recorded_scores = Counter(
            "normwatch_recorded_scores_total",
            "Scores written to the database.",
            registry=self.registry,
        )
        self.record_delay = Histogram(
            "normwatch_record_delay_seconds",
            "From a score's making to its commit.",
            buckets=DELAY_BUCKETS_S,
            registry=self.registry,
        )
        self.record_failures = Counter(
            "normwatch_record_failures_total",
            "Rounds of the recorder that failed and were tried again.",
            registry=self.registry,
        )
        self.deleted_rows = Counter(
            "normwatch_deleted_rows_total",
            "Rows deleted for their age, or of deleted streams.",
            ("table",),
            registry=self.registry,
        )
        self.recording = Gauge(
            "normwatch_recording",
            "1 while this front end is the one that records.",
            registry=self.registry,
        )
        self.events = Counter(
            "normwatch_events_total", "Events found.", ("type",), registry=self.registry
        )
        self.outages = Counter(
            "normwatch_outages_total",
            "Outages of streams that were told, and their ends.",
            ("type",),
            registry=self.registry,
        )
        self.event_media = Counter(
            "normwatch_event_media_total",
            "Pictures and clips of events: written, failed, or absent for want of pictures.",
            ("kind", "outcome"),
            registry=self.registry,
        )
        self.event_media_deleted = Counter(
            "normwatch_event_media_deleted_total",
            "Files of events that were deleted, by why.",
            ("reason",),
            registry=self.registry,
        )
        self.event_media_bytes = Gauge(
            "normwatch_event_media_bytes",
            "Pictures and clips of events on this front end's disk.",
            registry=self.registry,
        )
        self.normal_footage = Counter(
            "normwatch_normal_footage_total",
            "Clips of events called normal: kept for the next training, or failed to be.",
            ("outcome",),
            registry=self.registry,
        )
        self.normal_footage_deleted = Counter(
            "normwatch_normal_footage_deleted_total",
            "Such clips that were deleted, by why.",
            ("reason",),
            registry=self.registry,
        )
        self.normal_footage_bytes = Gauge(
            "normwatch_normal_footage_bytes",
            "Such clips on this front end's disk.",
            registry=self.registry,
        )
        self.deliveries = Counter(
            "normwatch_deliveries_total",
            "Attempts to deliver a message.",
            ("outcome",),
            registry=self.registry,
        )
        self.messages = Gauge(
            "normwatch_messages",
            "Messages that wait to be delivered, and that were given up and not sent again.",
            ("state",),
            registry=self.registry,
        )


class StreamCollector(Collector):
    """What workers tell of their streams and of themselves, at the time of the scrape."""

    def __init__(
        self,
        statuses: Callable[[], Mapping[str, StreamStatus]],
        workers: Callable[[], Sequence[WorkerStatus]],
        backlog: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._statuses = statuses
        self._workers = workers
        self._backlog = backlog

    def collect(self) -> Iterable[Metric]:
        """One family a figure; streams are told apart by id."""
        statuses = self._statuses()
        captured = CounterMetricFamily(
            "normwatch_captured_frames", "Frames captured by the present owner.", labels=["stream"]
        )
        scored = CounterMetricFamily(
            "normwatch_scored_frames", "Frames scored by the present owner.", labels=["stream"]
        )
        dropped = CounterMetricFamily(
            "normwatch_dropped_frames",
            "Captured frames that got no score.",
            labels=["stream", "reason"],
        )
        reconnects = CounterMetricFamily(
            "normwatch_reconnects", "Attempts to reach the source again.", labels=["stream"]
        )
        age = GaugeMetricFamily(
            "normwatch_frame_age_seconds",
            "Capture to score, of the newest scored frame.",
            labels=["stream"],
        )
        rate = GaugeMetricFamily(
            "normwatch_scored_frames_per_second",
            "Over the last few seconds.",
            labels=["stream"],
        )
        quantile = GaugeMetricFamily(
            "normwatch_frame_age_quantile_seconds",
            "Capture to score, over the last half minute.",
            labels=["stream", "quantile"],
        )
        target = GaugeMetricFamily(
            "normwatch_target_frames_per_second",
            "Frames that would be scored if the worker had the time.",
            labels=["stream"],
        )
        degraded = GaugeMetricFamily(
            "normwatch_stream_degraded",
            "1 while there is no time to score all frames.",
            labels=["stream"],
        )
        weight = GaugeMetricFamily(
            "normwatch_stream_weight", "Of its share of an overloaded worker.", labels=["stream"]
        )
        share = GaugeMetricFamily(
            "normwatch_stream_share",
            "Of the frames that its worker scores, 0 to 1.",
            labels=["stream"],
        )
        state = GaugeMetricFamily(
            "normwatch_stream_state", "1 for the state a stream is in.", labels=["stream", "state"]
        )
        since = GaugeMetricFamily(
            "normwatch_stream_state_since_seconds",
            "Since when a stream is in its state, in seconds since 1970.",
            labels=["stream"],
        )
        for stream_id, status in statuses.items():
            since.add_metric([stream_id], status.since)
            captured.add_metric([stream_id], status.captured)
            scored.add_metric([stream_id], status.scored)
            reconnects.add_metric([stream_id], status.reconnects)
            rate.add_metric([stream_id], status.fps)
            degraded.add_metric([stream_id], float(status.degraded))
            weight.add_metric([stream_id], status.weight)
            share.add_metric([stream_id], status.share)
            if status.target_fps is not None:
                target.add_metric([stream_id], status.target_fps)
            if status.frame_age_s is not None:
                age.add_metric([stream_id], status.frame_age_s)
            for name, age_s in (("0.5", status.frame_age_p50_s), ("0.99", status.frame_age_p99_s)):
                if age_s is not None:
                    quantile.add_metric([stream_id, name], age_s)
            for reason, count in status.dropped.items():
                dropped.add_metric([stream_id, reason.value], count)
            for known in StreamState:
                state.add_metric([stream_id, known.value], float(known is status.state))
        yield from (captured, scored, dropped, reconnects, age, quantile, rate, target)
        yield from (degraded, weight, share, state, since)
        backlog = GaugeMetricFamily(
            "normwatch_score_backlog", "Scores that wait in Redis for the database."
        )
        waiting = self._backlog()
        if waiting is not None:
            backlog.add_metric([], waiting)
        yield backlog
        yield from self._worker_families()

    def _worker_families(self) -> Iterable[Metric]:
        streams = GaugeMetricFamily(
            "normwatch_worker_streams", "Cameras that a worker owns.", labels=["worker"]
        )
        batches = CounterMetricFamily(
            "normwatch_worker_batches", "Batches inferred.", labels=["worker"]
        )
        frames = CounterMetricFamily(
            "normwatch_worker_frames", "Frames inferred.", labels=["worker"]
        )
        busy = CounterMetricFamily(
            "normwatch_worker_inference_seconds", "Time in the detector.", labels=["worker"]
        )
        engine = GaugeMetricFamily(
            "normwatch_worker_engine",
            "1 for the engine that runs a model.",
            labels=["worker", "model", "engine"],
        )
        takeovers = CounterMetricFamily(
            "normwatch_worker_takeovers",
            "Cameras taken that another worker had a moment before.",
            labels=["worker"],
        )
        handovers = CounterMetricFamily(
            "normwatch_worker_handovers",
            "Cameras given to another worker in order.",
            labels=["worker"],
        )
        previews = CounterMetricFamily(
            "normwatch_dropped_previews",
            "Pictures that newer ones replaced before they could be sent.",
            labels=["worker"],
        )
        notes = CounterMetricFamily(
            "normwatch_dropped_notes",
            "Entries of streams' logs that waited too long for Redis.",
            labels=["worker"],
        )
        for worker in self._workers():
            takeovers.add_metric([worker.id], worker.takeovers)
            handovers.add_metric([worker.id], worker.handovers)
            previews.add_metric([worker.id], worker.dropped_previews)
            notes.add_metric([worker.id], worker.dropped_notes)
            streams.add_metric([worker.id], worker.streams)
            batches.add_metric([worker.id], worker.batches)
            frames.add_metric([worker.id], worker.frames)
            busy.add_metric([worker.id], worker.inference_s)
            for model, name in worker.engines.items():
                engine.add_metric([worker.id, model, name], 1.0)
        yield from (streams, batches, frames, busy, engine)
        yield from (takeovers, handovers, previews, notes)
