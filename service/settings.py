"""Every setting, read from `NORMWATCH_*` in the environment; the command line overrides some."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from model.engines.names import EngineName
from model.events import EventRules
from model.rules import LIVE_UPDATE, UPDATE_RULES

AUTO = "auto"
CENTURY_DAYS = 36_525
QUIET_FPS = 4.0
"""Pictures a second at most while a camera sees nothing unusual."""
_EVENTS = EventRules()


class Settings(BaseSettings):
    """One object for all processes. Units stand in the names."""

    model_config = SettingsConfigDict(
        env_prefix="NORMWATCH_", extra="ignore", populate_by_name=True
    )

    data_dir: Path = Path("normwatch-data")
    """The database, the embedded Redis's file, and the user's bundles live here."""
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
    """Comma-separated. Needed to listen anywhere but on loopback."""
    published_host: str | None = None
    """Where a container's port is published; judged in the place of `host`, which is inside it."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated names beside localhost that are answered while there is no API key."""
    media_dirs: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders, comma-separated, that stream sources may be local paths under."""
    models_dir: Path | None = None
    """Where the user's bundles are; None is `data_dir/models`."""
    default_model: str | None = None
    """The bundle of a stream that names none."""

    allow_private_webhooks: bool = False
    """Let webhooks call private, loopback and link-local addresses."""
    webhook_timeout_s: float = Field(10.0, gt=0)
    webhook_max_attempts: int = Field(12, ge=1)

    max_image_bytes: int = Field(10 * 1024 * 1024, ge=1024)
    max_image_pixels: int = Field(16_000_000, ge=1024)
    max_video_bytes: int = Field(512 * 1024 * 1024, ge=1024)
    max_upload_frames: int = Field(3000, ge=1)
    """Uploaded frames of one stream that may wait for the worker."""
    max_upload_bytes: int = Field(512 * 1024 * 1024, ge=1024)
    """Bytes of them."""
    max_score_backlog: int = Field(100_000, ge=100)
    """Scores of one stream that may wait for the recorder."""

    worker_id: str | None = None
    """None makes one from host name and process id."""
    worker_capacity: int = Field(64, ge=1)
    """Cameras that one worker takes."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    engine: str = AUTO
    """What runs the networks: a name of `model.engines.names`, or `auto`: the fastest one."""
    torch_threads: int = Field(0, ge=0)
    """0 is the number of cores that the process may use."""
    memory_rule: str = LIVE_UPDATE.name
    """How cameras' memories learn: a name of `model.rules`; a stream may have its own."""
    lease_s: float = Field(2.5, gt=0.5)
    snapshot_every_s: float = Field(2.0, gt=0)
    capture_ring_frames: int = Field(32, ge=1)
    """Decoded frames of one camera that wait for the worker; the oldest goes first."""
    max_frame_age_s: float = Field(0.5, gt=0)
    """At its score. Frames that would be older aren't scored, but for a camera's newest."""
    connect_timeout_s: float = Field(4.0, gt=0)
    read_timeout_s: float = Field(5.0, gt=0)
    freeze_after_s: float = Field(30.0, ge=0)
    """The same picture for so long means that the camera is frozen; 0 never looks."""
    down_after_s: float = Field(15.0, gt=0)
    """A stream that can't be watched for so long is told of: `stream.down`. A blip isn't."""
    recovered_after_s: float = Field(5.0, gt=0)
    """It must be watched again for so long: `stream.recovered`."""
    preview_width: int = Field(640, ge=64)
    preview_every_s: float = Field(1.0, gt=0)

    event_min_frames: int = Field(_EVENTS.min_frames, ge=1)
    """Frames in a row at or above the threshold that start an event."""
    event_release: float = Field(_EVENTS.release, gt=0, le=1)
    """An event goes on while the score stays at or above this share of the threshold."""
    event_quiet_frames: int = Field(_EVENTS.quiet_frames, ge=1)
    """Frames in a row below it that end the event."""
    event_silence_s: float = Field(_EVENTS.silence_s, gt=0)
    """Seconds without any score that end it too."""
    event_merge_s: float = Field(_EVENTS.merge_s, ge=0, le=86_400)
    """What begins so many seconds after an event's last frame is the same event."""
    event_cooldown_s: float = Field(0.0, ge=0, le=86_400)
    """An event that starts so soon after a stream's last `event.started` message isn't told."""

    clip_fps: float = Field(10.0, ge=0, le=60)
    """Pictures a second that workers keep for events, `preview_width` wide; 0 keeps none."""
    clip_before_s: float = Field(5.0, ge=0, le=60)
    """A clip begins so long before its event,"""
    clip_after_s: float = Field(5.0, ge=0, le=60)
    """ends so long after it,"""
    clip_max_s: float = Field(30.0, gt=0, le=300)
    """and at the latest so long after its start."""
    event_media_days: float = Field(30.0, gt=0)
    """Days that pictures and clips of events are kept."""
    event_media_bytes: int = Field(5 * 1024**3, ge=0)
    """Bytes of them; the oldest go first."""
    normal_footage_bytes: int = Field(2 * 1024**3, ge=0)
    """Bytes of clips that are kept for training because their events were called normal."""
    false_alarms_per_day: float = Field(1.0, ge=0.001, le=1000, allow_inf_nan=False)
    """Of each stream that has no number of its own; thresholds are made to keep it."""

    keep_scores_hours: float = Field(48.0, ge=0, le=24 * CENTURY_DAYS)
    """Of each frame, from its scoring; 0 keeps for ever, here and in the next three."""
    keep_seconds_days: float = Field(30.0, ge=0, le=CENTURY_DAYS)
    """Scores by second of capture."""
    keep_minutes_days: float = Field(400.0, ge=0, le=CENTURY_DAYS)
    """Scores by minute."""
    keep_events_days: float = Field(90.0, ge=0, le=CENTURY_DAYS)
    """Events with their pictures, from their end."""

    log_level: str = "INFO"
    log_json: bool = False

    @field_validator("memory_rule")
    @classmethod
    def _known_rule(cls, value: str) -> str:
        if value not in UPDATE_RULES:
            raise ValueError(f"must be one of {', '.join(UPDATE_RULES)}")
        return value

    @field_validator("engine")
    @classmethod
    def _known_engine(cls, value: str) -> str:
        if value != AUTO and value not in tuple(EngineName):
            raise ValueError(f"must be one of {', '.join((AUTO, *EngineName))}")
        return value

    @field_validator("api_keys", "allowed_hosts", "media_dirs", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'normwatch.db'}"

    @property
    def picture_every_s(self) -> float:
        """Seconds between the pictures that workers make of a camera: to show, and for events."""
        if not self.clip_fps:
            return self.preview_every_s
        return min(self.preview_every_s, 1.0 / self.clip_fps)

    @property
    def quiet_picture_every_s(self) -> float:
        """The same where nothing unusual is seen: pictures cost time."""
        return max(self.picture_every_s, min(self.preview_every_s, 1.0 / QUIET_FPS))

    @property
    def user_models(self) -> Path:
        """The folder of the user's own bundles."""
        return self.models_dir if self.models_dir is not None else self.data_dir / "models"
