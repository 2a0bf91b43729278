"""Learnings for the routes: finding their rows, describing them, checking what to learn from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from model.bundles.catalog import DEFAULT_FPS
from model.footage.locations import Location
from service.api.context import Context
from service.api.error_answers import RequestRefused, refuse_field
from service.api.idents import IDENT
from service.api.schemas.learning_schemas import LearningIn, LearningOut, describe_learning_row
from service.api.source_checks import check_content, check_source
from service.errors import BadInput, NotFound
from service.learn_keeper.learning_keeper import lock_learning_row
from service.learn_keeper.learning_rows import UNDER_WAY
from service.learning_messages import LEAST_FRAMES, LEAST_S, FootageSummary, LearningState
from service.messages import UPLOAD
from service.model_folders import has_bundle, list_pictures
from service.settings import Settings
from service.store.tables import LearningRow, StreamRow

HIGHEST_FPS = 60.0


def find_learning_row(session: Session, learning_id: str) -> tuple[StreamRow, LearningRow]:
    """Return a learning with its stream. Raises: NotFound."""
    learning = session.get(LearningRow, learning_id) if IDENT.fullmatch(learning_id) else None
    stream = None if learning is None else session.get(StreamRow, learning.stream_id)
    if learning is None or stream is None:
        raise NotFound("learning", learning_id)
    return stream, learning


def lock_row(session: Session, learning_id: str) -> tuple[StreamRow, LearningRow]:
    """Return a learning with its stream, locked until the transaction ends. Raises: NotFound."""
    found = lock_learning_row(session, learning_id) if IDENT.fullmatch(learning_id) else None
    if found is None:
        raise NotFound("learning", learning_id)
    return found


def describe_row(context: Context, stream: StreamRow, row: LearningRow) -> LearningOut:
    """Return the answer about a learning, with what lies in its model's folder."""
    models = context.settings.user_models
    has_model = has_bundle(models, row.bundle)
    return describe_learning_row(
        row,
        has_model=has_model,
        pictures=list_pictures(models / row.bundle) if has_model else [],
        stream_model=stream.model,
    )


def load_under_way(session: Session, stream_ids: Iterable[str]) -> Mapping[str, LearningRow]:
    """Return these streams' learnings that aren't over, by stream."""
    wanted = set(stream_ids)
    rows = session.scalars(select(LearningRow).where(UNDER_WAY).order_by(LearningRow.created_at))
    return {row.stream_id: row for row in rows if row.stream_id in wanted}


def check_videos(sources: Sequence[str] | None, settings: Settings) -> list[str] | None:
    """Return the sources of a learning as they are stored. Raises: BadInput: one can't be used."""
    if sources is None:
        return None
    return [
        _check_video(place, source, len(sources), settings) for place, source in enumerate(sources)
    ]


def _check_video(place: int, source: str, count: int, settings: Settings) -> str:
    field = f"sources[{place}]"
    if source == UPLOAD:
        raise BadInput(field, source, "must be a video, a folder or a URL")
    if count > 1 and Location.parse(source).is_live:
        raise BadInput(field, source, "is a camera or URL, and can only be learned from alone")
    try:
        stored = check_source(source, settings.media_dirs, settings.source_networks)
        check_content(stored, settings.source_networks)
    except BadInput as error:
        raise BadInput(field, source, error.reason) from None
    return stored


def check_learnable(stream: StreamRow, sources: Sequence[str] | None) -> None:
    """Check that there is something to learn from. Raises: RequestRefused: there isn't."""
    if stream.source == UPLOAD and sources is None:
        raise refuse_field(
            422,
            "sources",
            "must name videos: this stream's pictures are uploaded, so there is no camera to "
            "collect them from",
        )


def check_trainable(stream: StreamRow, row: LearningRow) -> None:
    """Check that a learning that collects from a camera has footage to train on.

    Raises: RequestRefused: 409, there is too little.
    """
    collects = row.state in (LearningState.WAITING.value, LearningState.COLLECTING.value)
    if not collects or not any(
        Location.parse(source).is_live for source in row.sources or [stream.source]
    ):
        return
    footage = FootageSummary.model_validate(row.footage or {})
    least_s = max(LEAST_S, LEAST_FRAMES / row.fps)
    if footage.seconds == 0.0:
        raise RequestRefused(409, "nothing is collected yet")
    if footage.seconds < least_s:
        raise RequestRefused(
            409,
            f"only {math.floor(footage.seconds)} s of footage are collected yet, of at least "
            f"{math.ceil(least_s)} s",
        )


def choose_rate(body: LearningIn, stream: StreamRow) -> float:
    """Return the frames a second to learn: as asked for, or the stream's, or `DEFAULT_FPS`."""
    if body.fps is not None:
        return body.fps
    return DEFAULT_FPS if stream.fps is None else min(max(stream.fps, 0.1), HIGHEST_FPS)
