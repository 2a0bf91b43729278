"""The run: a service with cameras behind relays that misbehave, watched from outside."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from redis.exceptions import RedisError

from service.bench.footage import write_clip
from service.bench.load import Scored, wait_until
from service.bench.processes import descendants
from service.bench.rtsp import RtspServer
from service.bench.serving import Serving, serving
from service.bus import embedded
from service.bus.connection import connect
from service.soak.relay import Relay
from service.soak.resources import MB, REDIS, REDIS_KEYS, Kind, Sample, Trend, look, trends
from service.soak.schedule import Fault, Incident, incidents

MOUNT = "/camera"
TICK_S = 0.2
SAMPLE_S = 5.0
READ_S = 2.0
REST_S = 5.0
"""At the end: for what still waits."""
EACH = ("capture",)
"""Parts that have as many processes as cameras can be reached just now."""
OnIncident = Callable[[Incident], object]


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """What to run."""

    model: Path
    cameras: int
    seconds: float
    warm_up_s: float
    fps: float
    seed: int


@dataclass(frozen=True, slots=True)
class CameraAccount:
    """One camera's frames, at the end."""

    captured: int
    scored: int
    dropped: dict[str, int]
    rows: int
    """In the database."""

    @property
    def unaccounted(self) -> int:
        """Frames that nobody knows of: 0, or something is wrong."""
        return self.captured - self.scored - sum(self.dropped.values())


@dataclass(frozen=True, slots=True)
class Recovery:
    """An incident, and how long after its end the camera's first score was captured; None: it
    hadn't one before its next incident."""

    incident: Incident
    after_s: float | None


@dataclass(frozen=True, slots=True)
class SoakFigures:
    """What came out."""

    seconds: float
    recoveries: list[Recovery]
    trends: list[Trend]
    accounts: list[CameraAccount]
    ages_s: list[float]
    """Capture to score, of every score."""


@dataclass(slots=True)
class _Watched:
    """What is gathered while it runs."""

    began: float
    samples: list[Sample] = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)


def soak(plan: SoakPlan, on_incident: OnIncident = lambda _: None) -> SoakFigures:
    """Run it.

    Raises: ChildProcessError: a process has ended. TimeoutError: a camera gets no score at all.
    """
    with tempfile.TemporaryDirectory(prefix="normwatch-soak-") as name, ExitStack() as stack:
        folder = Path(name)
        relays = stack.enter_context(_cameras(plan, folder))
        service = stack.enter_context(serving(folder / "service", plan.model, {}))
        for relay in relays:
            service.register(f"rtsp://127.0.0.1:{relay.port}{MOUNT}", plan.fps)
        wait_until(service.all_live, service.complaint)
        service.take()
        watched = _Watched(time.time())
        happened = incidents(plan.seed, plan.cameras, plan.seconds)
        _pass(plan, service, folder, relays, happened, watched, on_incident)
        service.pause()
        time.sleep(REST_S)
        watched.scored += service.take()
        accounts = [
            CameraAccount(status.captured, status.scored, status.dropped, service.rows[camera])
            for camera, status in enumerate(service.statuses())
        ]
    return SoakFigures(
        time.time() - watched.began,
        recoveries(happened, watched.scored, watched.began),
        trends(watched.samples, plan.warm_up_s),
        accounts,
        [each.scored_at - each.captured_at for each in watched.scored],
    )


@contextmanager
def _cameras(plan: SoakPlan, folder: Path) -> Iterator[list[Relay]]:
    clip = folder / "camera.mp4"
    write_clip(clip, math.ceil(plan.fps), plan.seconds + 300.0)
    server = RtspServer({MOUNT: clip})
    server.start()
    try:
        with ExitStack() as stack:
            yield [stack.enter_context(Relay(server.port)) for _ in range(plan.cameras)]
    finally:
        server.kill()


def _pass(
    plan: SoakPlan,
    service: Serving,
    folder: Path,
    relays: Sequence[Relay],
    happened: Sequence[Incident],
    watched: _Watched,
    on_incident: OnIncident,
) -> None:
    steps = sorted(
        [(each.start_s, True, each) for each in happened]
        + [(each.end_s, False, each) for each in happened],
        key=lambda step: step[0],
    )
    sampled = read = -math.inf
    while (at := time.time() - watched.began) < plan.seconds:
        while steps and steps[0][0] <= at:
            _, begins, incident = steps.pop(0)
            relay = relays[incident.camera]
            if begins:
                on_incident(incident)
                begin(relay, incident.fault)
            else:
                relay.pass_through()
        if at - read >= READ_S:
            read = at
            watched.scored += service.take()
        if at - sampled >= SAMPLE_S:
            sampled = at
            watched.samples.append(_sample(at, service, folder))
        time.sleep(TICK_S)


def begin(relay: Relay, fault: Fault) -> None:
    """Let a camera misbehave; `Relay.pass_through` ends it."""
    if fault is Fault.REFUSE:
        relay.refuse()
        relay.reset()
    elif fault is Fault.SILENCE:
        relay.silence()
        relay.reset()
    elif fault is Fault.STALL:
        relay.stall()
    elif fault is Fault.RESET:
        relay.reset()
    elif fault is Fault.GARBAGE:
        relay.garbage()
    else:
        relay.throttle(200)


def _sample(at: float, service: Serving, folder: Path) -> Sample:
    def part(process: psutil.Process) -> str:
        return service.part_of(process)

    values: dict[tuple[str, Kind], float] = look(
        descendants(service.pid, part), lambda name: name in EACH
    )
    client = connect(embedded.url(folder / "service" / "data"))
    try:
        values["redis", REDIS] = float(client.info("memory")["used_memory"]) / MB
        values["redis", REDIS_KEYS] = float(client.dbsize())
    except RedisError:
        pass
    finally:
        client.close()
    return Sample(at, values)


def recoveries(
    happened: Sequence[Incident], scored: Sequence[Scored], began: float
) -> list[Recovery]:
    """How long each camera took to be back."""
    times: dict[int, list[float]] = {}
    for each in scored:
        times.setdefault(each.camera, []).append(each.captured_at - began)
    found: list[Recovery] = []
    for incident in happened:
        later = [
            other.start_s
            for other in happened
            if other.camera == incident.camera and other.start_s > incident.start_s
        ]
        until = min(later, default=math.inf)
        back = [at for at in times.get(incident.camera, []) if incident.end_s <= at < until]
        found.append(Recovery(incident, min(back) - incident.end_s if back else None))
    return found
