"""The one form that every error of the API has."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from service.api.redaction import Scalar


class FieldError(BaseModel):
    """One value that can't be used."""

    field: str
    value: Scalar
    """The value without credentials; null where it is an object."""
    reason: str


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str
    """For programs, such as `invalid`, `not_found`, `backlog_full`."""
    message: str
    """For people: one sentence."""
    fields: list[FieldError] = Field(default_factory=list)


class ErrorOut(BaseModel):
    """An error."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "code": "invalid",
                        "message": "threshold: Input should be less than or equal to 1",
                        "fields": [
                            {
                                "field": "threshold",
                                "value": "7",
                                "reason": "Input should be less than or equal to 1",
                            }
                        ],
                    }
                }
            ]
        }
    )

    error: ErrorDetail
