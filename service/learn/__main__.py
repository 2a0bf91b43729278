"""`python -P -m service.learn learner` is a learner without other commands, which take memory."""

from __future__ import annotations

import sys

from pydantic import ValidationError

from service import logs
from service.errors import BadInput
from service.learn.learner_main import run_learner
from service.settings import Settings
from service.supervisor import GIVE_UP


def main() -> int:
    """Run a learner with the settings of the environment; returns the exit status."""
    try:
        settings = Settings()
        logs.configure(settings.log_level, as_json=settings.log_json)
        return run_learner(settings)
    except (BadInput, ValidationError) as error:
        print(f"normwatch: {error}", file=sys.stderr)
        return GIVE_UP


if __name__ == "__main__":
    sys.exit(main())
