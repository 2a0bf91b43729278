"""`normwatch learn`: starts a learning over the API, and prints how it is doing."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import httpx
import typer
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from service.errors import BadInput, NormwatchError
from service.learning_messages import CheckSummary, FootageSummary, LearningState
from service.signals import stop_on_signals

POLL_S = 1.0
TIMEOUT_S = 30.0
GOOD = (LearningState.READY, LearningState.LIVE)


class LearningPresetName(StrEnum):
    """Network sizes that the service learns: those of `normwatch train` but the paper's."""

    FAST = "fast"
    SMALL = "small"
    MEDIUM = "medium"
    TINY = "tiny"


class ActivateChoice(StrEnum):
    """Says when the new model goes live."""

    IF_BETTER = "if_better"
    ALWAYS = "always"
    NEVER = "never"


class ServiceRefused(NormwatchError):
    """The service didn't do what was asked; the text is its own."""


class _Learning(BaseModel):
    """A learning in the API's answer, as far as it is printed."""

    id: str
    state: LearningState
    reason: str
    progress: float
    remaining_s: float | None
    loss: float | None
    footage: FootageSummary | None
    check: CheckSummary | None
    model: str | None
    finished_at: str | None


class _Stream(BaseModel):
    id: str
    name: str
    learning: _Learning | None = None


def learn(
    stream: Annotated[str, typer.Argument(help="A stream's id or name.")],
    seconds: Annotated[
        float | None, typer.Option(help="Seconds of normal footage to collect; 600 unless given.")
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Video to learn from in place of the camera; repeat it for more."),
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second to learn.")] = None,
    preset: Annotated[
        LearningPresetName | None, typer.Option(help="Network size and schedule.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the footage.", min=1)] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Weights to begin with: auto, none, or a model's name."),
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip", help="Mirror half of the windows: both ways are normal here.")
    ] = False,
    train_anyway: Annotated[
        bool, typer.Option("--train-anyway", help="Train even if the footage is too little.")
    ] = False,
    activate: Annotated[
        ActivateChoice | None,
        typer.Option(help="Whether the new model goes live; if_better unless given."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Print how the learning under way is doing.")
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel the learning that is under way.")
    ] = False,
    url: Annotated[str, typer.Option(help="The service.")] = "http://127.0.0.1:8000",
    api_key: Annotated[
        str | None,
        typer.Option(help="One of the service's keys.", envvar="NORMWATCH_API_KEY"),
    ] = None,
) -> None:
    """Let a running service learn a model for a stream, and print its progress until it ends."""
    console = Console(highlight=False, soft_wrap=True)
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    given = {
        "seconds": seconds,
        "sources": source or None,
        "fps": fps,
        "preset": preset,
        "epochs": epochs,
        "start": start,
        "flip": flip or None,
        "train_anyway": train_anyway or None,
        "activate": activate,
    }
    body = {name: value for name, value in given.items() if value is not None}
    with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=False) as client:
        found = _find_stream(client, stream)
        if follow or cancel:
            if body:
                given_names = ", ".join(body)
                raise BadInput("--follow, --cancel", given_names, "take no other options")
            if found.learning is None:
                raise BadInput("STREAM", stream, "has no learning under way")
            under_way = found.learning
            if cancel:
                _request(client, "POST", f"/learnings/{under_way.id}/cancel")
                console.print(f"learning {under_way.id} is cancelled")
                return
        else:
            answer = _request(client, "POST", f"/streams/{found.id}/learn", body)
            under_way = _Learning.model_validate(answer)
            console.print(f"learning {under_way.id} of {escape(found.name)} begins")
        last = _follow(client, console, under_way)
    if last.finished_at is None:
        console.print(
            f"the learning goes on: `normwatch learn {escape(stream)} --follow` prints it, "
            "`--cancel` cancels it"
        )
        raise typer.Exit(130)
    _print_end(console, last)
    if last.state not in GOOD:
        raise typer.Exit(1)


def _find_stream(client: httpx.Client, text: str) -> _Stream:
    """Find a stream by its id, or by its name if only one has it. Raises: BadInput."""
    items = _request(client, "GET", "/streams")["items"]
    streams = [_Stream.model_validate(item) for item in items]
    found = [each for each in streams if each.id == text] or [
        each for each in streams if each.name == text
    ]
    if len(found) != 1:
        names = ", ".join(each.name for each in streams) or "none"
        reason = "is the name of several" if found else f"is no stream; there are: {names}"
        raise BadInput("STREAM", text, reason)
    return found[0]


def _request(
    client: httpx.Client, method: str, path: str, body: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """Return the answer. Raises: ServiceRefused: there is none, or it is an error."""
    try:
        answer = client.request(method, path, json=body)
    except httpx.HTTPError as error:
        raise ServiceRefused(f"{client.base_url} does not answer: {error}") from None
    if answer.is_error:
        raise ServiceRefused(f"{client.base_url} refuses: {_find_message(answer)}")
    content: dict[str, Any] = answer.json()
    return content


def _find_message(answer: httpx.Response) -> str:
    """Return what the service says is wrong; something else may answer in its place."""
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


def _follow(client: httpx.Client, console: Console, learning: _Learning) -> _Learning:
    """Print progress until the end, or until the user interrupts it."""
    stop = threading.Event()
    columns = (TextColumn("{task.description}"), BarColumn())
    with (
        stop_on_signals(stop),
        Progress(*columns, console=console, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("", total=1.0)
        printed = ""
        while not stop.is_set():
            bar.update(task, completed=learning.progress, description=escape(_describe(learning)))
            line = f"{learning.state.value}{f': {learning.reason}' if learning.reason else ''}"
            if line != printed:
                printed = line
                console.print(escape(line))
            if learning.finished_at is not None:
                break
            stop.wait(POLL_S)
            learning = _read(client, learning)
    return learning


def _read(client: httpx.Client, learning: _Learning) -> _Learning:
    """Read how a learning is doing; a service that is away now may be back in a moment."""
    try:
        answer = client.get(f"/learnings/{learning.id}")
    except httpx.HTTPError:
        return learning
    if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        return learning
    if answer.is_error:
        raise ServiceRefused(f"{client.base_url} refuses: {_find_message(answer)}")
    return _Learning.model_validate_json(answer.content)


def _describe(learning: _Learning) -> str:
    parts = [f"{learning.state.value} {learning.progress:.0%}"]
    if learning.remaining_s is not None:
        parts.append(f"{learning.remaining_s:.0f} s left")
    if learning.loss is not None:
        parts.append(f"loss {learning.loss:.4f}")
    if learning.state is LearningState.COLLECTING and learning.footage is not None:
        parts.append(f"{learning.footage.seconds:.0f} s of footage")
    return ", ".join(parts)


def _print_end(console: Console, learning: _Learning) -> None:
    if learning.footage is not None:
        console.print(f"footage: {escape(learning.footage.advice)}")
    if learning.check is not None:
        console.print(f"check: {escape(learning.check.verdict)}")
    if learning.model is not None:
        console.print(f"model {escape(learning.model)}")
