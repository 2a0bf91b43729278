"""The `normwatch` command: registers the subcommands, and prints errors in one line."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version

import typer
from pydantic import ValidationError

from service.cli import (
    bench,
    bundles,
    check_command,
    demo,
    doctor,
    evaluate,
    imports,
    learn,
    listen,
    score_command,
    serve,
    soak,
    train,
)
from service.errors import NormwatchError

_LINE_END = re.compile(r"[ \t]*[\r\n]+[ \t]*")

app = typer.Typer(
    help="Watches fixed cameras and says when something happens that does not normally happen.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    show_version: bool = typer.Option(False, "--version", help="Print the version."),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks (anywhere on the line)."),
) -> None:
    del debug  # main() takes it out of the line; this is for --help
    if show_version:
        typer.echo(version("normwatch"))
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("learn")(learn.learn)
app.command("evaluate")(evaluate.evaluate)
app.command("check")(check_command.check)
app.command("score")(score_command.score)
app.command("import")(imports.import_weights)
app.add_typer(bundles.app, name="models")
app.add_typer(bench.app, name="bench")
app.command("soak")(soak.soak)
app.command("doctor")(doctor.doctor)
app.command("listen")(listen.listen)
app.command("api")(serve.api)
app.command("worker")(serve.worker)
app.command("learner")(serve.learner)
app.command("learn-job", hidden=True)(serve.learn_job)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line; exits with 0, 1 (failed), 2 (wrong input) or 130 (interrupted)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    # Recordings and databases show people, and hold passwords: no other user may read them.
    os.umask(0o077)
    try:
        code = app(words, prog_name="normwatch", standalone_mode=False)
    except typer.TyperException as error:
        _fail(error.format_message() + _find_value(error, words), error.exit_code)
    except typer.Abort:
        _fail("aborted", 130)
    except ValidationError as error:
        if debug:
            raise
        _fail(_describe(error), 2)
    except (
        NormwatchError,
        ValueError,
    ) as error:  # BundleError, FootageError and such are ValueErrors
        if debug:
            raise
        _fail(str(error), 2)
    except OSError as error:
        if debug:
            raise
        _fail(str(error), 1)
    except Exception as error:
        if debug:
            raise
        _fail(f"{type(error).__name__}: {error} (--debug shows where)", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _find_value(error: typer.TyperException, words: Sequence[str]) -> str:
    """Return the value that the option was given, which Typer's own message leaves out."""
    parameter = error.param if isinstance(error, typer.BadParameter) else None
    for option in parameter.opts if parameter is not None else ():
        for index, word in enumerate(words):
            name, equals, value = word.partition("=")
            if name == option and (equals or index + 1 < len(words)):
                return f" (got {value if equals else words[index + 1]!r})"
    return ""


def _describe(error: ValidationError) -> str:
    """Describe the first wrong setting, by its environment variable."""
    first = error.errors(include_url=False)[0]
    name = "_".join(str(part) for part in first["loc"][:1]).upper()
    if not name.startswith("NORMWATCH_") and not name.endswith("_URL"):
        name = f"NORMWATCH_{name}"
    return f"{name}: {first['msg']} (got {first['input']!r})"


def _fail(text: str, code: int) -> None:
    # Other white space than line ends may belong to a path.
    print(f"normwatch: {_LINE_END.sub(' ', text.strip())}", file=sys.stderr)
    sys.exit(code)
