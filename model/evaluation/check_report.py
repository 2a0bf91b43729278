"""Draws the pictures of a check's report."""

from __future__ import annotations

from pathlib import Path

from model.evaluation.model_check import ModelCheck


def save_report(check: ModelCheck, folder: Path) -> None:
    """Write the report's pictures and its page into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
