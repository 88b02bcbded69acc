"""The manifests, rendered and checked against the schemas of Kubernetes."""

import os
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from deploy.gateway.files import written
from runtime.settings import SECRETS_DIR, Settings
from tests.support.kustomize import containers, rendered
from tests.support.production import PRODUCTION
from workflows.names import Queue

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = ["overlays/staging", *(f"overlays/production/{part}" for part in ("shop", "workers", "migrate"))]
SCHEMAS = "1.34"


def of_kind(overlay: str, kind: str) -> list[dict[str, Any]]:
    return [thing for thing in rendered(KUBERNETES / overlay) if thing["kind"] == kind]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_that_is_rendered_is_what_kubernetes_knows(overlay: str) -> None:
    things = rendered(KUBERNETES / overlay)
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in things]
    assert len(names) == len(set(names)) > 0
    for thing in things:
        if thing["kind"] != "ScaledObject":
            kubernetes_validate.validate(thing, SCHEMAS, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_restricted_and_limited_and_runs_a_named_version(overlay: str) -> None:
    for thing in rendered(KUBERNETES / overlay):
        if not containers(thing):
            continue
        pod = thing["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in containers(thing):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert ":" in container["image"], container["name"]
            assert not container["image"].endswith(":latest")
            assert container["resources"].keys() == {"requests", "limits"}


def test_the_api_has_its_probes_its_size_and_its_numbers() -> None:
    [api] = [thing for thing in of_kind("overlays/production/shop", "Deployment") if thing["metadata"]["name"] == "api"]
    [container] = containers(api)
    assert api["spec"]["replicas"] == 3
    assert container["resources"] == {
        "requests": {"cpu": "250m", "memory": "256Mi"},
        "limits": {"cpu": "500m", "memory": "512Mi"},
    }
    live, ready = container["livenessProbe"], container["readinessProbe"]
    assert (live["httpGet"]["path"], live["initialDelaySeconds"]) == ("/health", 30)
    assert (ready["httpGet"]["path"], ready["initialDelaySeconds"]) == ("/ready", 5)
    [scaler] = of_kind("overlays/production/shop", "HorizontalPodAutoscaler")
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (3, 20)
    wanted = {
        metric["resource"]["name"]: metric["resource"]["target"]["averageUtilization"]
        for metric in scaler["spec"]["metrics"]
    }
    assert wanted == {"cpu": 70, "memory": 80}


def test_a_pod_of_the_api_has_the_time_to_leave() -> None:
    [api] = [thing for thing in of_kind("overlays/production/shop", "Deployment") if thing["metadata"]["name"] == "api"]
    [settings] = [thing for thing in of_kind("overlays/production/shop", "ConfigMap") if "APP_ENV" in thing["data"]]
    ready = containers(api)[0]["readinessProbe"]
    leaves = float(settings["data"]["APP_API__LEAVE_SECONDS"])
    assert leaves > ready["periodSeconds"] + ready["timeoutSeconds"]
    assert api["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= leaves + 30


def test_every_task_queue_has_workers_that_its_backlog_scales() -> None:
    workers = of_kind("overlays/production/workers", "Deployment")
    scalers = of_kind("overlays/production/workers", "ScaledObject")
    assert [containers(worker)[0]["args"] for worker in workers] == [["worker", queue] for queue in Queue]
    for worker, scaler, queue in zip(workers, scalers, Queue, strict=True):
        env = {entry["name"]: entry["value"] for entry in containers(worker)[0]["env"]}
        [trigger] = scaler["spec"]["triggers"]
        assert scaler["spec"]["scaleTargetRef"] == {"name": worker["metadata"]["name"]}
        assert 1 <= scaler["spec"]["minReplicaCount"] == worker["spec"]["replicas"] < scaler["spec"]["maxReplicaCount"]
        assert (trigger["type"], trigger["metadata"]["taskQueue"]) == ("temporal", queue)
        assert trigger["metadata"]["workerDeploymentName"] == env["APP_WORKERS__DEPLOYMENT"]
        image = containers(worker)[0]["image"]
        assert (
            env["APP_WORKERS__BUILD_ID"] == trigger["metadata"]["workerDeploymentBuildId"] == image.rpartition(":")[2]
        )
        assert worker["metadata"]["name"].endswith(env["APP_WORKERS__BUILD_ID"].replace(".", "-"))


def test_whoever_must_not_vanish_at_once_has_a_budget_and_whoever_speaks_is_allowed_to() -> None:
    things = [thing for overlay in OVERLAYS[1:] for thing in rendered(KUBERNETES / overlay)]
    budgets = [thing["spec"]["selector"]["matchLabels"] for thing in things if thing["kind"] == "PodDisruptionBudget"]
    policies = [thing for thing in things if thing["kind"] == "NetworkPolicy"]
    assert any(
        policy["spec"]["podSelector"] == {} and "Ingress" in policy["spec"]["policyTypes"] for policy in policies
    )
    for thing in things:
        if thing["kind"] == "Deployment":
            labels = thing["spec"]["template"]["metadata"]["labels"]
            assert any(budget.items() <= labels.items() for budget in budgets), thing["metadata"]["name"]
            named = [policy["spec"]["podSelector"].get("matchLabels", {}) for policy in policies]
            assert any(chosen and chosen.items() <= labels.items() for chosen in named), thing["metadata"]["name"]


@pytest.mark.parametrize("overlay", ["overlays/staging", "overlays/production/shop"])
def test_our_settings_accept_what_the_pods_are_told(
    overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    [told] = [thing["data"] for thing in of_kind(overlay, "ConfigMap") if "APP_ENV" in thing["data"]]
    secrets = mounted(tmp_path, {name: value for name, value in PRODUCTION.items() if name not in told})
    for name in [name for name in os.environ if name.startswith("APP_")]:
        monkeypatch.delenv(name)
    for name, value in {**told, SECRETS_DIR: str(secrets)}.items():
        monkeypatch.setenv(name, value)

    settings = Settings()

    assert settings.env == "production"
    assert settings.database.url.get_secret_value() == PRODUCTION["APP_DATABASE__URL"]
    assert settings.staff_needs_second_factor


def mounted(folder: Path, secrets: dict[str, str]) -> Path:
    """Files as Kubernetes mounts them: links to what stands in a folder of a date."""
    (folder / "..2026_11_26").mkdir()
    (folder / "..data").symlink_to("..2026_11_26")
    for name, value in secrets.items():
        (folder / "..2026_11_26" / name).write_text(value)
        (folder / name).symlink_to(f"..data/{name}")
    return folder


def test_what_is_kept_of_the_gateway_was_made_of_its_templates() -> None:
    for file, text in written().items():
        assert file.read_text() == text, f"python -m deploy.gateway.files writes {file}"
