"""The compose file and the image, as far as they can be checked without Docker."""

import re
import shutil
import subprocess
import sysconfig
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

from deploy.embedded.temporal import kinds
from runtime.settings import SECRETS_DIR, Settings
from workflows.names import SEARCH_ATTRIBUTES, Queue

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "temporal-compose.yml").read_text()
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]


def as_docker_reads(text: str) -> str:
    """The text with the default of each variable in its place."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def environment(service: dict[str, Any]) -> dict[str, str]:
    return {name: as_docker_reads(value) for name, value in service.get("environment", {}).items()}


def test_every_variable_has_a_default() -> None:
    references = re.findall(r"(?<!\$)\$(?!\$)[^}\s]*", COMPOSE)
    assert len(references) > 10
    assert [reference for reference in references if not re.match(r"\$\{\w+:-.", reference)] == []


def test_what_a_service_waits_for_can_come_true() -> None:
    for service in SERVICES.values():
        for name, wait in service.get("depends_on", {}).items():
            awaited = SERVICES[name]
            has_probe = "test" in awaited.get("healthcheck", {})
            assert (wait["condition"] == "service_healthy") == has_probe, name
            if not has_probe:
                assert wait["condition"] == "service_completed_successfully"
                assert awaited["restart"].startswith("on-failure:"), name


def test_every_service_is_pinned_to_a_version_and_every_volume_is_declared() -> None:
    volumes = yaml.safe_load(COMPOSE)["volumes"]
    for service in SERVICES.values():
        assert re.fullmatch(r"[\w/-]+:[\w.]+", as_docker_reads(service["image"]))
        assert not service["image"].endswith(":latest")
        mounted = {mount.split(":")[0] for mount in service.get("volumes", [])}
        assert all(mount in volumes or (ROOT / mount).exists() for mount in mounted)


def test_ports_are_published_to_this_machine_only() -> None:
    published = {as_docker_reads(port): name for name, service in SERVICES.items() for port in service.get("ports", [])}
    assert published == {
        "127.0.0.1:8080:8080": "nginx",
        "127.0.0.1:8443:8443": "nginx",
        "127.0.0.1:9090:9090": "prometheus",
        "127.0.0.1:3000:3000": "grafana",
        "127.0.0.1:16686:16686": "jaeger",
        "127.0.0.1:8090:8090": "sandbox",
        "127.0.0.1:7233:7233": "temporal",
        "127.0.0.1:8233:8080": "temporal-ui",
    }


def test_the_file_is_what_the_compose_specification_allows() -> None:
    schema = files("check_jsonschema.builtin_schemas.vendor").joinpath("compose-spec.json").read_text()
    jsonschema_rs.validator_for(schema).validate(yaml.safe_load(COMPOSE))


def test_secrets_are_files_that_are_there_and_no_variable_holds_one() -> None:
    secrets = yaml.safe_load(COMPOSE)["secrets"]
    for name, secret in secrets.items():
        assert (ROOT / as_docker_reads(secret["file"])).read_text().strip(), name
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= secrets.keys()
        told = " ".join(environment(service).values())
        assert not any(
            (ROOT / as_docker_reads(secret["file"])).read_text().strip() in told
            for name, secret in secrets.items()
            if name.startswith("APP_")
        )


def test_the_dockerfile_has_nothing_to_be_found_fault_with() -> None:
    hadolint = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    if hadolint is None:
        pytest.skip("hadolint is packaged for Linux on x86-64 only")
    done = subprocess.run([hadolint, "--no-color", str(ROOT / "deploy" / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_task_queue_has_a_worker() -> None:
    served = [service["command"][1] for name, service in SERVICES.items() if name.startswith("worker-")]
    assert served == list(Queue)


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "build" in service])
def test_our_settings_accept_what_each_of_our_services_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = environment(SERVICES[name])
    for variable, value in told.items():
        monkeypatch.setenv(variable, value)
    if SECRETS_DIR in told:
        monkeypatch.setenv(SECRETS_DIR, str(ROOT / "deploy" / "secrets"))
    settings = Settings().model_dump()
    for variable in told.keys() - {"APP_READY_FILE", SECRETS_DIR}:
        section, _, field = variable.removeprefix("APP_").lower().partition("__")
        assert section in settings, variable
        assert not field or field in settings[section], variable


def test_temporal_learns_our_search_attributes() -> None:
    (script,) = SERVICES["temporal-namespace"]["command"]
    assert dict(re.findall(r"--name (\w+) --type (\w+)", script)) == kinds(SEARCH_ATTRIBUTES)


def test_temporal_gets_as_many_shards_as_it_will_ever_need() -> None:
    assert environment(SERVICES["temporal"])["NUM_HISTORY_SHARDS"] == "512"


def test_the_image_is_built_from_what_exists_and_does_not_run_as_root() -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert {service["build"]["target"] for service in SERVICES.values() if "build" in service} == {"development"}
    assert stages[-2:] == ["development", "production"]
    for lock in re.findall(r"requirements/\w+\.lock", DOCKERFILE):
        assert (ROOT / lock).is_file(), lock
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["10001"]


def test_the_image_gets_every_package_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["only-include"], "pyproject.toml", project["project"]["readme"]}
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == needed | {"requirements"}
