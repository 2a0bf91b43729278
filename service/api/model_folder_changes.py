"""Adds and deletes models in the user's folder: as a whole, so that nobody sees half of one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from model.bundles.catalog import NAME, SHIPPED
from service.api.bundle_names import STARTS
from service.api.error_answers import RequestRefused
from service.errors import BadInput
from service.learn_keeper.learning_rows import UNDER_WAY
from service.store.tables import LearningRow


@contextmanager
def make_room(models: Path, prefix: str) -> Iterator[Path]:
    """Make a folder next to the models, for the time of the block.

    Bundles lie a level below it, where no list of models finds them.

    Raises: RequestRefused: 409, nothing can be written there.
    """
    try:
        models.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=models, prefix=prefix))
    except OSError as error:
        raise RequestRefused(
            409, f"the models folder can't be changed by the front end: {error.strerror}"
        ) from None
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def check_new_name(session: Session, models: Path, name: str) -> None:
    """Check the name of a model to add. Raises: BadInput, RequestRefused: it can't have it."""
    if not NAME.fullmatch(name):
        reason = "must be 1 to 64 letters, digits, '.', '_' or '-', a letter or digit first"
        raise BadInput("name", name, reason)
    if name in STARTS:
        raise BadInput("name", name, f"must be another: {name} is a word of a learning's `start`")
    if (SHIPPED / name).exists() or (models / name).exists():
        raise RequestRefused(409, f"there is a model named {name}: give another name, or delete it")
    reserved = select(LearningRow.id).where(LearningRow.bundle == name, UNDER_WAY)
    if (ident := session.scalar(reserved)) is not None:
        raise RequestRefused(
            409,
            f"{name} will be the model of learning {ident}, which is under way: give another name",
        )


def put_model(draft: Path, models: Path, name: str) -> None:
    """Move a checked bundle to its place. Raises: RequestRefused: its name was just taken."""
    try:
        draft.rename(models / name)
    except OSError:
        raise RequestRefused(409, f"there is a model named {name} by now") from None


def delete_model(path: Path) -> None:
    """Delete a bundle's folder; of a link to one, only the link.

    Raises: RequestRefused: 409, the folder can't be changed.
    """
    with make_room(path.parent, ".deleting-") as place:
        try:
            path.rename(place / "bundle")
        except OSError as error:
            raise RequestRefused(409, f"{path.name} can't be deleted: {error.strerror}") from None
