"""Settings that are lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings


@pytest.mark.parametrize(
    ("text", "folders"),
    [
        ("/a, /b", ("/a", "/b")),
        ("", ()),
        ('["/a,b", " /c "]', ("/a,b", " /c ")),
        ("[]", ()),
    ],
)
def test_media_folders_are_separated_by_commas_or_a_list(
    monkeypatch: pytest.MonkeyPatch, text: str, folders: tuple[str, ...]
) -> None:
    monkeypatch.setenv("NORMWATCH_MEDIA_DIRS", text)
    assert Settings().media_dirs == tuple(map(Path, folders))


def test_a_broken_list_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMWATCH_MEDIA_DIRS", '["/a"')
    with pytest.raises(ValidationError, match="media_dirs"):
        Settings()


def test_a_key_may_begin_like_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMWATCH_API_KEYS", "[a,b")
    assert [key.get_secret_value() for key in Settings().api_keys] == ["[a", "b"]
