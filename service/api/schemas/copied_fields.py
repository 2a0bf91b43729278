"""Builds answers from what has fields of the same names: rows, messages, dataclasses."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

Answer = TypeVar("Answer", bound=BaseModel)


def copy_fields(answer: type[Answer], source: object, /, **others: object) -> Answer:
    """Build an answer of the source's attributes, but for the fields that `others` gives."""
    names = answer.model_fields.keys() - others.keys()
    return answer.model_validate({name: getattr(source, name) for name in names} | others)
