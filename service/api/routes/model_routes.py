"""The models that there are: listing, deleting, and taking them to another machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool
from fastapi.responses import StreamingResponse
from sqlalchemy import or_, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from model.bundles.catalog import BundleInfo
from service.api.bundle_names import list_bundles
from service.api.context import Context, Shared
from service.api.error_answers import RequestRefused, refuse_field
from service.api.model_archives import (
    list_files,
    measure_archive,
    unpack_bundle,
    write_archive,
)
from service.api.model_folder_changes import check_new_name, delete_model, make_room, put_model
from service.api.schemas.error_schemas import ErrorOut
from service.api.schemas.model_schemas import ModelOut, ModelsOut, describe_model
from service.errors import NotFound, Unavailable
from service.learn_keeper.learning_rows import UNDER_WAY
from service.model_folders import read_check
from service.store.tables import LearningRow, StreamRow

router = APIRouter(tags=["models"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {**_BINARY, "example": "the archive"}},
    }
}
_NO_SUCH: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorOut, "description": "There is no such model."}
}


def _refuse(description: str) -> dict[int | str, dict[str, Any]]:
    return {409: {"model": ErrorOut, "description": description}}


@router.get("/models", summary="List all models")
def list_models(context: Shared) -> ModelsOut:
    """The user's own, then the shipped ones. A stream names one of them."""
    found = list_bundles(context.settings)
    with context.database.read() as session:
        learned = _find_streams(session)
    return ModelsOut(items=[_describe(context, info, learned) for info in found])


def _find_streams(session: Session) -> Mapping[str, str]:
    """Return the streams that learned models, by the model's name."""
    query = select(LearningRow.bundle, LearningRow.stream_id)
    return {bundle: stream_id for bundle, stream_id in session.execute(query)}


def _describe(context: Context, info: BundleInfo, learned: Mapping[str, str]) -> ModelOut:
    return describe_model(
        info,
        is_default=info.name == context.settings.default_model,
        check=read_check(info.path),
        stream_id=None if info.shipped else learned.get(info.name),
    )


def _find(context: Context, name: str) -> BundleInfo:
    """Return a model of the list: nothing else is ever read or deleted. Raises: NotFound."""
    for info in list_bundles(context.settings):
        if info.name == name:
            return info
    raise NotFound("model", name)


@router.delete(
    "/models/{name}",
    status_code=204,
    summary="Delete a model",
    responses=_NO_SUCH | _refuse("It came with the program, or is in use."),
)
def remove_model(name: str, context: Shared) -> None:
    """Only one of your own that no stream uses. Its learning stays, without a model."""
    info = _find(context, name)
    if info.shipped:
        raise RequestRefused(409, f"{name} came with normwatch, and stays")
    if name == context.settings.default_model:
        raise RequestRefused(409, f"{name} is NORMWATCH_DEFAULT_MODEL")
    with context.database.write() as session:
        _check_users(session, name)
        delete_model(info.path)


def _check_users(session: Session, name: str) -> None:
    users = session.scalars(select(StreamRow.name).where(StreamRow.model == name)).all()
    if users:
        raise RequestRefused(409, f"{name} is in use, by: {', '.join(sorted(users)[:10])}")
    is_needed = or_(LearningRow.bundle == name, LearningRow.start == name)
    learning = select(LearningRow.id).where(is_needed, UNDER_WAY)
    if (ident := session.scalar(learning)) is not None:
        raise RequestRefused(409, f"{name} is needed by learning {ident}, which is under way")


@router.get(
    "/models/{name}/archive",
    summary="Download a model",
    response_class=StreamingResponse,
    responses=_NO_SUCH
    | {
        200: {
            "content": {"application/x-tar": _BINARY},
            "description": "An uncompressed tar archive.",
        }
    },
)
def read_archive(name: str, context: Shared) -> Response:
    """Its check and report are in it, too. `POST /models/{name}` of another normwatch takes it."""
    path = _find(context, name).path
    try:
        files = list_files(path)
        size = measure_archive(path, files)
    except OSError:  # it was deleted between the listing and now
        raise NotFound("model", name) from None
    return StreamingResponse(
        write_archive(path, files),
        media_type="application/x-tar",
        headers={
            "Content-Length": str(size),
            "Content-Disposition": f'attachment; filename="{name}.tar"',
        },
    )


@router.post(
    "/models/{name}",
    status_code=201,
    summary="Add a model from an archive",
    openapi_extra=_UPLOAD,
    responses=_refuse("There is a model of that name."),
)
async def add_model(name: str, request: Request, context: Shared) -> ModelOut:
    """The body is an archive from `GET /models/{name}/archive` or `normwatch models pack`, of at
    most NORMWATCH_MAX_MODEL_BYTES. It is checked, and added as a whole or not at all."""
    models, limit = context.settings.user_models, context.settings.max_model_bytes
    await run_in_threadpool(_check_name, context, name)
    async with contextmanager_in_threadpool(make_room(models, ".adding-")) as place:
        try:
            await _receive(request, place / "archive", limit)
            await run_in_threadpool(_install, context, place, name)
        except OSError as error:
            problem = f"can't take it: {error.strerror}"
            raise Unavailable("the models folder", problem=problem) from None
    return await run_in_threadpool(lambda: _describe(context, _find(context, name), {}))


def _check_name(context: Context, name: str) -> None:
    with context.database.read() as session:
        check_new_name(session, context.settings.user_models, name)


async def _receive(request: Request, path: Path, limit: int) -> None:
    size = 0
    with path.open("wb") as file:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise refuse_field(413, "body", f"is larger than {limit} bytes")
            await run_in_threadpool(file.write, part)


def _install(context: Context, place: Path, name: str) -> None:
    models, draft = context.settings.user_models, place / "bundle"
    draft.mkdir()
    unpack_bundle(place / "archive", draft, context.settings.max_model_bytes)
    # A learning that has begun since the first check may have taken the name.
    with context.database.write() as session:
        check_new_name(session, models, name)
        put_model(draft, models, name)
