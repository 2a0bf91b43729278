"""Learning a model for a stream: starting, following, stopping, and putting it live."""

from __future__ import annotations

import time
import uuid
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from service.api.bundle_names import check_start
from service.api.context import Context, Shared
from service.api.error_answers import RequestRefused
from service.api.file_answers import answer_with_file, describe_file_answers
from service.api.registered_learnings import (
    check_learnable,
    check_trainable,
    check_videos,
    choose_rate,
    describe_row,
    find_learning_row,
    lock_row,
)
from service.api.registered_streams import find_last_frame, find_stream, publish_stream
from service.api.schemas.learning_schemas import LearningIn, LearningOut, LearningsOut
from service.learn_keeper import learning_rows
from service.learn_keeper.learning_rows import NOT_TAKEN, find_under_way, finish
from service.learn_keeper.model_names import choose_bundle_name
from service.learning_messages import LearningState
from service.model_folders import PICTURE_TYPES, find_picture, is_usable
from service.store.tables import LearningRow, StreamRow

router = APIRouter(tags=["learnings"])

NAME_ATTEMPTS = 5
_DEFAULTS = LearningIn()
_CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"description": "It can't be done in the learning's present state."}
}


@router.post(
    "/streams/{stream_id}/learn",
    status_code=202,
    summary="Learn a model for a stream",
    responses={409: {"description": "The stream has a learning that is under way."}},
)
async def learn_model(
    stream_id: str, context: Shared, response: Response, body: LearningIn = _DEFAULTS
) -> LearningOut:
    """A learner collects normal footage, trains, and checks the model (docs/learning.md). The
    stream goes on meanwhile. Nothing abnormal should happen before the camera until the footage is
    collected."""
    await run_in_threadpool(_check_request, context, stream_id, body)
    sources = await context.probes.run(partial(check_videos, body.sources, context.settings))
    learning = await run_in_threadpool(_add_with_free_name, context, stream_id, body, sources)
    response.headers["Location"] = f"/learnings/{learning.id}"
    return learning


def _check_request(context: Context, stream_id: str, body: LearningIn) -> None:
    with context.database.read() as session:
        check_learnable(find_stream(session, stream_id), body.sources)
    check_start(body.start, body.preset, context.settings)


def _add_with_free_name(
    context: Context, stream_id: str, body: LearningIn, sources: list[str] | None
) -> LearningOut:
    for attempt in range(NAME_ATTEMPTS):
        try:
            with context.database.write() as session:
                stream = find_stream(session, stream_id, locked=True)
                row = _add(session, context, stream, body, sources)
            break
        except IntegrityError:
            # Another front end has just given the name to another stream's model.
            if attempt == NAME_ATTEMPTS - 1:
                raise
    return describe_row(context, stream, row)


def _add(
    session: Session,
    context: Context,
    stream: StreamRow,
    body: LearningIn,
    sources: list[str] | None,
) -> LearningRow:
    check_learnable(stream, sources)
    other = find_under_way(session, stream.id)
    if other is not None:
        raise RequestRefused(
            409,
            f"learning {other.id} of this stream is under way ({other.state}): "
            "wait for it, or cancel it",
        )
    row = LearningRow(
        id=uuid.uuid4().hex,
        stream_id=stream.id,
        bundle=choose_bundle_name(session, context.settings, stream.name),
        sources=sources,
        fps=choose_rate(body, stream),
        state=LearningState.WAITING.value,
        reason=NOT_TAKEN,
        learner="",
        progress=0.0,
        created_at=time.time(),
        **body.model_dump(include={"seconds", "preset", "flip", "epochs", "start"}),
        **body.model_dump(include={"train_anyway", "activate"}),
    )
    session.add(row)
    session.flush()
    return row


@router.get("/streams/{stream_id}/learnings", summary="List a stream's learnings")
def list_learnings(
    stream_id: str, context: Shared, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> LearningsOut:
    """The newest first: the versions of the stream's model."""
    query = select(LearningRow).where(LearningRow.stream_id == stream_id)
    query = query.order_by(LearningRow.created_at.desc(), LearningRow.id.desc()).limit(limit)
    with context.database.read() as session:
        stream = find_stream(session, stream_id)
        rows = session.scalars(query).all()
    return LearningsOut(items=[describe_row(context, stream, row) for row in rows])


@router.get("/learnings/{learning_id}", summary="Read a learning")
def read_progress(learning_id: str, context: Shared) -> LearningOut:
    """Its state, progress, footage, check, and model."""
    with context.database.read() as session:
        stream, row = find_learning_row(session, learning_id)
    return describe_row(context, stream, row)


@router.post("/learnings/{learning_id}/cancel", summary="Cancel a learning", responses=_CONFLICT)
def cancel(learning_id: str, context: Shared) -> LearningOut:
    """Its learner stops, and deletes what it has recorded."""
    with context.database.write() as session:
        stream, row = lock_row(session, learning_id)
        _check_under_way(row)
        finish(row, LearningState.CANCELLED, "somebody cancelled it", time.time())
    context.metrics.learnings.labels(LearningState.CANCELLED.value).inc()
    return describe_row(context, stream, row)


@router.post(
    "/learnings/{learning_id}/train",
    summary="Train with the footage that there is",
    responses=_CONFLICT,
)
def train_anyway(learning_id: str, context: Shared) -> LearningOut:
    """Its learner collects no more, even if the footage is judged to be too little. 409 while there
    are less than 16 seconds or 60 frames of a camera."""
    with context.database.write() as session:
        stream, row = lock_row(session, learning_id)
        _check_under_way(row)
        check_trainable(stream, row)
        row.train_anyway = row.train_now = True
    return describe_row(context, stream, row)


@router.post(
    "/learnings/{learning_id}/activate",
    summary="Put a learning's model live",
    responses=_CONFLICT,
)
def put_model_live(learning_id: str, context: Shared) -> LearningOut:
    """Also one that was rejected, or an earlier version, to roll back. The stream's calibration
    starts again."""
    with context.database.write() as session:
        stream, row = lock_row(session, learning_id)
        if row.finished_at is None and row.state != LearningState.READY.value:
            raise RequestRefused(409, f"this learning has no model yet: it is {row.state}")
        if not is_usable(context.settings.user_models, row.bundle):
            raise RequestRefused(
                409, f"this learning ({row.state}) has no model, or it was deleted: {row.bundle}"
            )
        learning_rows.activate(session, stream, row, time.time())
        last_frame = find_last_frame(session, stream.id)
    publish_stream(context, stream, last_frame)
    return describe_row(context, stream, row)


def _check_under_way(row: LearningRow) -> None:
    if row.finished_at is not None:
        raise RequestRefused(409, f"this learning is over: it is {row.state}")


@router.get(
    "/learnings/{learning_id}/report/{picture}",
    summary="Read a picture of a learning's report",
    response_class=FileResponse,
    responses=describe_file_answers("image/jpeg", "A JPEG or PNG."),
)
def read_report(learning_id: str, picture: str, context: Shared, request: Request) -> Response:
    """The names are in the learning's `pictures`. 404 for any other."""
    with context.database.read() as session:
        _, row = find_learning_row(session, learning_id)
    path = find_picture(context.settings.user_models / row.bundle, picture)
    try:
        if path is not None:
            return answer_with_file(path, PICTURE_TYPES[path.suffix], request)
    except FileNotFoundError:  # the model has just been deleted
        pass
    raise RequestRefused(404, "the report has no picture of that name")
