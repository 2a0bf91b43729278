"""The image and the Compose files: checks of their text, without Docker."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
MAIN = "docker-compose.yml"
OVERRIDES = ("deploy/compose.gpu.yml", "deploy/compose.monitoring.yml")


def _services(name: str) -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / name).read_text())["services"]
    return services


def _lines(name: str) -> list[str]:
    text = re.sub(r"\\\n\s*", " ", (ROOT / name).read_text())
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("service", ["redis", "postgres", "api", "worker", "learner"])
def test_services_are_watched_restarted_and_confined(service: str) -> None:
    described = _services(MAIN)[service]
    assert described["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert described["restart"] == "unless-stopped"
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges:true"]
    assert set(described["logging"]["options"]) == {"max-size", "max-file"}


def test_only_the_front_end_is_published_and_on_loopback_by_default() -> None:
    published = {name: s["ports"] for name, s in _services(MAIN).items() if "ports" in s}
    assert published == {"api": ["${NORMWATCH_BIND:-127.0.0.1}:${NORMWATCH_PORT:-8000}:8000"]}


def test_the_guard_is_told_the_address_that_is_published() -> None:
    environment = _services(MAIN)["api"]["environment"]
    assert environment["NORMWATCH_PUBLISHED_HOST"] == "${NORMWATCH_BIND:-127.0.0.1}"


def test_only_the_front_end_reaches_the_database() -> None:
    networks = {name: set(described["networks"]) for name, described in _services(MAIN).items()}
    reaching = {name for name, own in networks.items() if own & networks["postgres"]}
    assert reaching == {"api", "postgres"}
    internal = yaml.safe_load((ROOT / MAIN).read_text())["networks"]
    assert internal["database"] == internal["inside"] == {"internal": True}


def test_passwords_may_be_set_and_every_service_has_limits() -> None:
    text = (ROOT / MAIN).read_text()
    for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        assert f"${{{name}:-" in text
    for described in _services(MAIN).values():
        assert described["mem_limit"]
        assert described["pids_limit"] > 0


def test_redis_flushes_every_write_before_it_answers() -> None:
    command = " ".join(_services(MAIN)["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--appendfsync always" in command


def test_volumes_and_networks_are_declared() -> None:
    for name in (MAIN, OVERRIDES[1]):
        document = yaml.safe_load((ROOT / name).read_text())
        for described in document["services"].values():
            assert set(described.get("networks", [])) <= set(document.get("networks", {}))
            for volume in described.get("volumes", []):
                source = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", volume).partition(":")[0]
                assert source.startswith("./") or source in document["volumes"], volume


@pytest.mark.parametrize("name", [MAIN, *OVERRIDES])
def test_variables_of_the_service_are_settings(name: str) -> None:
    known = {f"NORMWATCH_{field.upper()}" for field in Settings.model_fields}
    for described in _services(name).values():
        given = {key for key in described.get("environment", {}) if key.startswith("NORMWATCH_")}
        assert given <= known


@pytest.mark.parametrize("name", [MAIN, *OVERRIDES])
def test_variables_of_the_operator_are_documented(name: str) -> None:
    text = (ROOT / name).read_text()
    used = set(re.findall(r"\$\{([A-Z_]+)", text)) | set(re.findall(r"^ +([A-Z_]+):$", text, re.M))
    documented = (ROOT / "docs/deploy.md").read_text()
    assert {variable for variable in used if f"`{variable}`" not in documented} == set()


def test_overrides_change_services_that_exist_or_bring_an_image() -> None:
    known = set(_services(MAIN))
    for name in OVERRIDES:
        for service, described in _services(name).items():
            assert service in known or "image" in described


def test_monitoring_publishes_on_loopback_only() -> None:
    for described in _services("deploy/compose.monitoring.yml").values():
        assert all(port.startswith("127.0.0.1:") for port in described.get("ports", []))


def test_the_files_that_monitoring_mounts_are_there() -> None:
    for described in _services("deploy/compose.monitoring.yml").values():
        for volume in described.get("volumes", []):
            source = volume.partition(":")[0]
            assert not source.startswith("./") or (ROOT / source).is_dir()


def test_the_dockerfile_needs_the_classic_builder_only() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"--mount|--link|--chmod|<<|^# syntax=", text, re.M)


def test_the_image_runs_as_an_ordinary_user() -> None:
    users = [line.split()[1] for line in _lines("Dockerfile") if line.startswith("USER")]
    assert users[-1:] == ["normwatch"]


def test_what_the_dockerfile_copies_is_in_the_build_context() -> None:
    rules = [line for line in _lines(".dockerignore") if line.startswith("!")]
    for line in _lines("Dockerfile"):
        if line.startswith("COPY") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists()
                assert any(fnmatch.fnmatch(source, rule[1:]) for rule in rules), source
