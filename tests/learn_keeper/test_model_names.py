"""Names of the models that are learned."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.learn_keeper.model_names import choose_bundle_name, make_slug
from service.settings import Settings
from service.store.database import Database
from service.store.tables import LearningRow
from tests.record.rows import add_stream


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("North gate", "north-gate"),
        ("Tür Süd / 2. Stock!", "tur-sud-2-stock"),
        ("東口", "camera"),
        ("../../etc", "etc"),
        ("--", "camera"),
        ("x" * 60, "x" * 40),
        ("a" * 39 + " bcd", "a" * 39),
    ],
)
def test_a_name_is_made_of_the_streams(name: str, slug: str) -> None:
    assert make_slug(name) == slug


def test_the_number_rises_above_every_other(database: Database, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    add_stream(database)

    def choose(name: str = "Gate") -> str:
        with database.read() as session:
            return choose_bundle_name(session, settings, name)

    assert choose() == "gate-1"
    settings.user_models.mkdir()
    (settings.user_models / "Gate-4").mkdir()
    (settings.user_models / "gate-x").mkdir()
    assert choose() == "gate-5"
    row = LearningRow(
        id="a",
        stream_id="cam",
        bundle="gate-7",
        seconds=600.0,
        fps=10.0,
        preset="fast",
        flip=False,
        train_anyway=False,
        activate="never",
        state="waiting",
        created_at=1.0,
    )
    with database.write() as session:
        session.add(row)
    assert choose() == "gate-8"
    assert choose("ga") == "ga-1"
