"""Runs a service with cameras behind relays that misbehave, and watches it from outside."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import RedisError

from service.bus import embedded
from service.bus.connection import connect
from service.tools.bench.camera_clips import write_clip
from service.tools.bench.load import TimedFrame, wait_until
from service.tools.bench.process_usage import find_descendants
from service.tools.bench.rtsp import RtspServer
from service.tools.bench.running_service import CameraStatus, RunningService, run_service
from service.tools.soak.incidents import CameraFault, Incident, draw_incidents
from service.tools.soak.relay import Relay
from service.tools.soak.resources import (
    MB,
    REDIS,
    REDIS_KEYS,
    ResourceKind,
    ResourceTrend,
    Sample,
    compute_trends,
    sample_processes,
)

MOUNT = "/camera"
TICK_S = 0.2
SAMPLE_S = 5.0
READ_S = 2.0
REST_S = 5.0
"""Pause at the end, until waiting frames are scored."""
EACH = ("capture",)
"""Parts whose number of processes varies with the cameras that can be reached."""
OnIncident = Callable[[Incident], object]


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """Says what to run."""

    model: Path
    cameras: int
    seconds: float
    warm_up_s: float
    fps: float
    seed: int


class CameraAccount(CameraStatus):
    """Accounts for one camera's frames at the end; none should be unaccounted for."""

    rows: int
    """Scores in the database."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long after an incident's end the camera's first scored frame was captured; None where
    there was none before its next incident."""

    incident: Incident
    after_s: float | None


@dataclass(frozen=True, slots=True)
class SoakFigures:
    """Holds the results of a run."""

    seconds: float
    recoveries: list[Recovery]
    trends: list[ResourceTrend]
    accounts: list[CameraAccount]
    ages_s: list[float]
    """Seconds from capture to score, of every score."""


@dataclass(slots=True)
class _Watched:
    """Holds what is gathered during the run."""

    began: float
    samples: list[Sample] = field(default_factory=list)
    scored: list[TimedFrame] = field(default_factory=list)


def soak(plan: SoakPlan, on_incident: OnIncident = lambda _: None) -> SoakFigures:
    """Run the service with misbehaving cameras.

    Raises: ChildProcessError: a process has ended. TimeoutError: a camera gets no score at all.
    """
    with tempfile.TemporaryDirectory(prefix="normwatch-soak-") as name, ExitStack() as stack:
        folder = Path(name)
        relays = stack.enter_context(_run_cameras(plan, folder))
        service = stack.enter_context(run_service(folder / "service", plan.model, {}))
        for relay in relays:
            service.register(f"rtsp://127.0.0.1:{relay.port}{MOUNT}", plan.fps)
        wait_until(service.are_all_live, service.describe_missing_score)
        service.take()
        watched = _Watched(time.time())
        happened = draw_incidents(plan.seed, plan.cameras, plan.seconds)
        _run_incidents(
            plan, service, folder, relays, watched, happened=happened, on_incident=on_incident
        )
        service.pause()
        time.sleep(REST_S)
        watched.scored += service.take()
        accounts = [
            CameraAccount(**status.model_dump(), rows=service.rows[camera])
            for camera, status in enumerate(service.read_statuses())
        ]
    return SoakFigures(
        time.time() - watched.began,
        find_recoveries(happened, watched.scored, watched.began),
        compute_trends(watched.samples, plan.warm_up_s),
        accounts,
        [each.scored_at - each.captured_at for each in watched.scored],
    )


@contextmanager
def _run_cameras(plan: SoakPlan, folder: Path) -> Iterator[list[Relay]]:
    clip = folder / "camera.mp4"
    write_clip(clip, math.ceil(plan.fps), plan.seconds + 300.0)
    server = RtspServer({MOUNT: clip})
    server.start()
    try:
        with ExitStack() as stack:
            yield [stack.enter_context(Relay(server.port)) for _ in range(plan.cameras)]
    finally:
        server.kill()


def _run_incidents(
    plan: SoakPlan,
    service: RunningService,
    folder: Path,
    relays: Sequence[Relay],
    watched: _Watched,
    *,
    happened: Sequence[Incident],
    on_incident: OnIncident,
) -> None:
    begins = [(each.start_s, True, each) for each in happened]
    ends = [(each.end_s, False, each) for each in happened]
    steps = sorted([*begins, *ends], key=lambda step: step[0])
    sampled = read = -math.inf
    while (at := time.time() - watched.began) < plan.seconds:
        while steps and steps[0][0] <= at:
            _, is_start, incident = steps.pop(0)
            relay = relays[incident.camera]
            if is_start:
                on_incident(incident)
                begin_fault(relay, incident.fault)
            else:
                relay.pass_through()
        if at - read >= READ_S:
            read = at
            watched.scored += service.take()
        if at - sampled >= SAMPLE_S:
            sampled = at
            watched.samples.append(_take_sample(at, service, folder))
        time.sleep(TICK_S)


def begin_fault(relay: Relay, fault: CameraFault) -> None:
    """Make a camera misbehave until `Relay.pass_through`."""
    if fault is CameraFault.REFUSE:
        relay.refuse()
        relay.reset()
    elif fault is CameraFault.SILENCE:
        relay.silence()
        relay.reset()
    elif fault is CameraFault.STALL:
        relay.stall()
    elif fault is CameraFault.RESET:
        relay.reset()
    elif fault is CameraFault.GARBAGE:
        relay.send_garbage()
    else:
        relay.throttle(200)


def _take_sample(at: float, service: RunningService, folder: Path) -> Sample:
    values: dict[tuple[str, ResourceKind], float] = sample_processes(
        find_descendants(service.pid, service.name_part), lambda name: name in EACH
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


def find_recoveries(
    happened: Sequence[Incident], scored: Sequence[TimedFrame], began: float
) -> list[Recovery]:
    """Find how long each camera took to be scored again."""
    times: dict[int, list[float]] = {}
    for each in scored:
        times.setdefault(each.camera, []).append(each.captured_at - began)
    found: list[Recovery] = []
    for one in happened:
        starts = [each.start_s for each in happened if each.camera == one.camera]
        until = min((start for start in starts if start > one.start_s), default=math.inf)
        back = [at for at in times.get(one.camera, []) if one.end_s <= at < until]
        found.append(Recovery(one, min(back) - one.end_s if back else None))
    return found
