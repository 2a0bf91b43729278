"""Settings for tests of the model (one thread each, and no time limit an example), and a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from model.bundles import bundle as bundles
from tests.support.bundles import small_bundle

settings.register_profile(
    "model", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("model")


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """The networks are too small to share, and other tests run at the same time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A bundle on disk."""
    path = tmp_path / "camera"
    bundles.save(small_bundle(), path)
    return path
