"""The whole service in a folder whose path means something in a URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.service import running_service


@pytest.mark.parametrize("name", ["a b#c?d%25", "50%,\u00fc\u3000[x]"])
def test_the_service_keeps_its_data_in_any_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    with running_service(folder) as service:
        made = service.create("/streams", name="yard", source="upload", model="demo")
    with running_service(folder) as service:
        (found,) = service.client.get("/streams").json()["items"]
    assert found["id"] == made["id"]
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert {"normwatch.db", "redis"} <= {each.name for each in folder.iterdir()}
