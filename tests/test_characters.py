"""Checks which characters a user's text may hold."""

from __future__ import annotations

import pytest

from service.characters import blank_controls, escape_controls, has_controls

ALLOWED = (
    "\u6771\u53e3\u3000\u5317",  # an ideographic space
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # a zero-width non-joiner, as in Persian
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # an emoji of three, held by joiners
    "10\u00a0000",
    "Screenshot 2026-11-24 at 5.00.00\u202fPM.png",
    "\u2028\ufeff\ue000\uffff",
)


@pytest.mark.parametrize("text", ALLOWED)
def test_spaces_and_joiners_of_every_script_are_no_controls(text: str) -> None:
    assert not has_controls(text)
    assert escape_controls(text) == blank_controls(text) == text


@pytest.mark.parametrize("char", ["\0", "\t", "\n", "\x1b", "\x7f", "\x85", "\ud800", "\udfff"])
def test_controls_and_lone_surrogates_are_found_blanked_and_escaped(char: str) -> None:
    text = f"a{char}b"
    assert has_controls(text)
    assert not has_controls(text, allowed=char)
    assert blank_controls(text) == "a b"
    escaped = escape_controls(text)
    assert escaped.startswith("a\\")
    assert escaped.encode().decode("unicode_escape") == text
