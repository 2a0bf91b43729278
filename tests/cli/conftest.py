"""What commands that load a model run in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A data folder of the tests' own; no restart for the allocator's sake; one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORMWATCH_DATA_DIR", str(tmp_path_factory.mktemp("home")))
        patch.setenv("GLIBC_TUNABLES", "")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)
