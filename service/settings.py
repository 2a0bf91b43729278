"""Declares every setting, read from `NORMWATCH_*`; the command line overrides some."""

from __future__ import annotations

import json
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from model.engines.names import EngineName
from model.events.event_detection import EventRules
from model.network.update_rules import LIVE_UPDATE, UPDATE_RULES

Network = IPv4Network | IPv6Network
AUTO = "auto"
CENTURY_DAYS = 36_525
QUIET_FPS = 4.0
"""Most pictures a second while a camera sees nothing unusual."""
_EVENTS = EventRules()


class Settings(BaseSettings):
    """The settings of all processes; units are in the names."""

    model_config = SettingsConfigDict(
        env_prefix="NORMWATCH_", extra="ignore", populate_by_name=True
    )

    data_dir: Path = Path("normwatch-data")
    """Folder of the database, the embedded Redis's file, and the user's bundles."""
    redis_url: str | None = Field(
        None, validation_alias=AliasChoices("redis_url", "NORMWATCH_REDIS_URL", "REDIS_URL")
    )
    """None starts the embedded server (`serve` only)."""
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("database_url", "NORMWATCH_DATABASE_URL", "DATABASE_URL"),
    )
    """SQLAlchemy URL; None is SQLite in `data_dir`."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Comma-separated keys; required to listen anywhere but on loopback."""
    published_host: str | None = None
    """Address where a container's port is published; checked instead of `host`."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated names that are answered, besides localhost, while there is no API key."""
    require_api_key: bool = False
    """Refuse to start without an API key, even on loopback."""
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()
    """Networks of proxies whose `X-Forwarded-For` says who the client is."""
    max_connections: int = Field(1000, ge=16)
    """Connections that may be open at once; fewer where the system gives fewer descriptors."""
    max_connections_per_address: int = Field(100, ge=4)
    """Connections of one address, or of one IPv6 network of 64 bits."""
    media_dirs: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders that stream sources may be local paths under: comma-separated, or a list in JSON."""
    models_dir: Path | None = None
    """Folder of the user's bundles; None is `data_dir/models`."""
    default_model: str | None = None
    """The bundle of a stream that names none."""

    allow_private_receivers: bool = False
    """Allow receivers at all private and loopback addresses."""
    receiver_networks: Annotated[tuple[Network, ...], NoDecode] = ()
    """Private networks that receivers may be in."""
    source_networks: Annotated[tuple[Network, ...], NoDecode] = ()
    """Networks that cameras must be in; empty: all but link-local ones."""
    receiver_timeout_s: float = Field(10.0, gt=0)
    """How long a receiver may take for one message."""
    receiver_max_attempts: int = Field(12, ge=1)
    """How often a message is tried before it is given up."""

    max_image_bytes: int = Field(10 * 1024 * 1024, ge=1024)
    max_image_pixels: int = Field(16_000_000, ge=1024)
    max_video_bytes: int = Field(512 * 1024 * 1024, ge=1024)
    max_model_bytes: int = Field(512 * 1024 * 1024, ge=1024)
    """Bytes of a model's archive that the API takes."""
    max_upload_frames: int = Field(3000, ge=1)
    """Uploaded frames of one stream that may wait for the worker."""
    max_upload_bytes: int = Field(512 * 1024 * 1024, ge=1024)
    """Bytes of uploaded frames of one stream that may wait for the worker."""
    upload_budget_bytes: int = Field(1024**3, ge=1024)
    """Bytes of all uploads together that may be under way."""
    max_score_backlog: int = Field(100_000, ge=100)
    """Scores of one stream that may wait for the recorder."""

    worker_id: str | None = None
    """None makes one from host name and process id."""
    worker_capacity: int = Field(64, ge=1)
    """Most cameras that one worker takes."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    engine: str = AUTO
    """Engine that runs the networks: a name of `model.engines.names`, or `auto` for the fastest."""
    torch_threads: int = Field(0, ge=0)
    """0 is the number of cores that the process may use."""
    memory_rule: str = LIVE_UPDATE.name
    """Rule of `UPDATE_RULES` by which cameras' memories update; a stream may have its own."""
    lease_s: float = Field(2.5, gt=0.5)
    snapshot_every_s: float = Field(2.0, gt=0)
    capture_ring_frames: int = Field(32, ge=1)
    """Most decoded frames of one camera that wait for the worker; the oldest is dropped first."""
    max_frame_age_s: float = Field(0.5, gt=0)
    """Highest age of a frame at its score. Older ones aren't scored, except a camera's newest."""
    connect_timeout_s: float = Field(4.0, gt=0)
    read_timeout_s: float = Field(5.0, gt=0)
    freeze_after_s: float = Field(30.0, ge=0)
    """A camera whose picture is the same for so long counts as frozen; 0 switches this off."""
    down_after_s: float = Field(15.0, gt=0)
    """A stream that can't be watched for so long is reported as `stream.down`."""
    recovered_after_s: float = Field(5.0, gt=0)
    """A stream that is watched again for so long is reported as `stream.recovered`."""
    preview_width: int = Field(640, ge=64)
    preview_every_s: float = Field(1.0, gt=0)

    event_start_s: float = Field(_EVENTS.start_s, ge=0, le=3600)
    """Seconds of capture with all scores at or above the threshold that start an event."""
    event_release: float = Field(_EVENTS.release, gt=0, le=1)
    """An event goes on while the score stays at or above this share of the threshold."""
    event_quiet_s: float = Field(_EVENTS.quiet_s, ge=0, le=3600)
    """Seconds of capture with all scores below that share that end the event."""
    event_silence_s: float = Field(_EVENTS.silence_s, gt=0)
    """Seconds without any score that end an event, too."""
    event_merge_s: float = Field(_EVENTS.merge_s, ge=0, le=86_400)
    """An event that starts so soon after another's last frame continues that one."""
    event_cooldown_s: float = Field(0.0, ge=0, le=86_400)
    """An event that starts so soon after the last `event.started` message sends none."""

    clip_fps: float = Field(10.0, ge=0, le=60)
    """Pictures a second that workers keep for events, `preview_width` wide; 0 keeps none."""
    clip_before_s: float = Field(5.0, ge=0, le=60)
    """Seconds of a clip before its event."""
    clip_after_s: float = Field(5.0, ge=0, le=60)
    """Seconds of a clip after its event."""
    clip_max_s: float = Field(30.0, gt=0, le=300)
    """A clip ends at the latest so long after its start."""
    event_media_days: float = Field(30.0, gt=0)
    """Days that pictures and clips of events are kept."""
    event_media_bytes: int = Field(5 * 1024**3, ge=0)
    """Bytes of pictures and clips of events; the oldest are deleted first."""
    normal_footage_bytes: int = Field(2 * 1024**3, ge=0)
    """Bytes of clips that are kept for training because their events were called normal."""
    learning_bytes: int = Field(10 * 1024**3, ge=0)
    """Bytes of frames that are recorded for learnings, until their models are trained."""
    false_alarms_per_day: float = Field(1.0, ge=0.001, le=1000, allow_inf_nan=False)
    """Rate that thresholds are set for, of each stream that has none of its own."""

    keep_scores_hours: float = Field(48.0, ge=0, le=24 * CENTURY_DAYS)
    """Hours that a frame's score is kept; 0 keeps for ever, here and in the next three."""
    keep_seconds_days: float = Field(30.0, ge=0, le=CENTURY_DAYS)
    """Days that scores by second of capture are kept."""
    keep_minutes_days: float = Field(400.0, ge=0, le=CENTURY_DAYS)
    """Days that scores by minute are kept."""
    keep_events_days: float = Field(90.0, ge=0, le=CENTURY_DAYS)
    """Days that events with their pictures are kept, from their end."""

    log_level: str = "INFO"
    log_json: bool = False

    @field_validator("memory_rule")
    @classmethod
    def _check_rule(cls, value: str) -> str:
        if value not in UPDATE_RULES:
            raise ValueError(f"must be one of {', '.join(UPDATE_RULES)}")
        return value

    @field_validator("engine")
    @classmethod
    def _check_engine(cls, value: str) -> str:
        if value != AUTO and value not in tuple(EngineName):
            raise ValueError(f"must be one of {', '.join((AUTO, *EngineName))}")
        return value

    @field_validator(
        "api_keys",
        "allowed_hosts",
        "media_dirs",
        "trusted_proxies",
        "receiver_networks",
        "source_networks",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str) and info.field_name == "media_dirs" and value.startswith("["):
            return json.loads(value)
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @property
    def database(self) -> str | Path:
        """The SQLAlchemy URL, or the file of an SQLite database."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return self.data_dir.absolute() / "normwatch.db"

    @property
    def private_receivers(self) -> bool | tuple[Network, ...]:
        """The private addresses that receivers may have: all, or those of some networks."""
        return self.allow_private_receivers or self.receiver_networks

    @property
    def picture_every_s(self) -> float:
        """Seconds between the pictures that workers make of a camera, for display and events."""
        if not self.clip_fps:
            return self.preview_every_s
        return min(self.preview_every_s, 1.0 / self.clip_fps)

    @property
    def quiet_picture_every_s(self) -> float:
        """Seconds between pictures while nothing unusual is seen: pictures cost time."""
        return max(self.picture_every_s, min(self.preview_every_s, 1.0 / QUIET_FPS))

    @property
    def user_models(self) -> Path:
        return self.models_dir if self.models_dir is not None else self.data_dir / "models"
