"""The manifests under deploy/kubernetes: built by kustomize, valid for each version, and fitting together."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.deploy import kustomizing
from tests.deploy.image import ROOT
from tests.deploy.kustomizing import BASE, EXAMPLE, Resource, of_kind, pod_of
from tests.deploy.test_compose import known

# Those that deploy/README.md promises.
VERSIONS = ("1.29", "1.33", "1.37")


@pytest.fixture(scope="module", params=[BASE, EXAMPLE], ids=lambda path: path.name)
def resources(request: pytest.FixtureRequest) -> list[Resource]:
    return kustomizing.built(request.param)


@pytest.fixture(scope="module")
def example() -> list[Resource]:
    return kustomizing.built(EXAMPLE)


def containers(resources: list[Resource]) -> Iterator[tuple[str, Resource]]:
    for one in of_kind(resources, "Deployment", "Job"):
        for container in pod_of(one)["containers"]:
            yield one["metadata"]["name"], container


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_is_valid(resources: list[Resource], version: str) -> None:
    for one in resources:
        kubernetes_validate.validate(one, version, strict=True)


def test_a_field_that_there_is_not_is_noticed(example: list[Resource]) -> None:
    (first, *_) = of_kind(example, "Deployment")
    wrong = {**first, "spec": {**first["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_no_pod_can_become_more_than_it_is(resources: list[Resource]) -> None:
    for workload in of_kind(resources, "Deployment", "Job"):
        pod = pod_of(workload)
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["automountServiceAccountToken"]
    for name, container in containers(resources):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name


def test_every_container_asks_for_what_it_needs_and_is_limited(resources: list[Resource]) -> None:
    for name, container in containers(resources):
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
        assert "memory" in container["resources"]["limits"], name


def test_every_process_is_watched_and_has_time_to_leave(resources: list[Resource]) -> None:
    for workload in of_kind(resources, "Deployment"):
        pod = pod_of(workload)
        (container,) = pod["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
        assert pod["terminationGracePeriodSeconds"] > 10


def test_what_stands_by_is_there(resources: list[Resource]) -> None:
    replicas = {one["metadata"]["name"]: one["spec"]["replicas"] for one in of_kind(resources, "Deployment")}
    assert replicas.keys() == {"coins-worker", "coins-jobs", "coins-relay", "coins-scheduler"}
    assert min(replicas[name] for name in replicas if name != "coins-jobs") >= 2
    assert replicas["coins-jobs"] == 1


def test_there_is_one_worker_more_than_partitions_in_the_example(example: list[Resource]) -> None:
    (settings,) = of_kind(example, "ConfigMap")
    (worker,) = (one for one in of_kind(example, "Deployment") if one["metadata"]["name"] == "coins-worker")
    assert worker["spec"]["replicas"] == int(settings["data"]["COINS_PARTITIONS"]) + 1


def test_every_process_is_told_only_what_it_reads(resources: list[Resource]) -> None:
    told = {name for one in of_kind(resources, "ConfigMap") for name in one["data"]}
    told |= {one["name"] for _, container in containers(resources) for one in container.get("env", [])}
    assert [name for name in sorted(told) if not known(name)] == []


def test_what_a_pod_refers_to_is_there(example: list[Resource]) -> None:
    there = {(one["kind"], one["metadata"]["name"]) for one in example}
    for workload in of_kind(example, "Deployment", "Job"):
        pod = pod_of(workload)
        (container,) = pod["containers"]
        wanted = {("ConfigMap", source["configMapRef"]["name"]) for source in container["envFrom"]}
        for volume in pod["volumes"]:
            if "secret" in volume:
                wanted.add(("Secret", volume["secret"]["secretName"]))
            if "persistentVolumeClaim" in volume:
                wanted.add(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
        assert wanted <= there
        assert {mount["name"] for mount in container["volumeMounts"]} == {
            volume["name"] for volume in pod["volumes"]
        }


def test_every_secret_that_a_setting_names_is_in_the_example(example: list[Resource]) -> None:
    (settings,) = of_kind(example, "ConfigMap")
    files = {f"/run/secrets/coins/{key}" for one in of_kind(example, "Secret") for key in one["data"]}
    named = {value for name, value in settings["data"].items() if name.endswith("_URL_FILE")}
    named |= {one["value"] for _, container in containers(example) for one in container.get("env", [])}
    assert named <= files


def test_a_budget_and_the_rules_of_the_network_are_of_pods_that_there_are(resources: list[Resource]) -> None:
    workloads = list(of_kind(resources, "Deployment"))
    for budget in of_kind(resources, "PodDisruptionBudget"):
        assert len(_selected(budget["spec"]["selector"]["matchLabels"], workloads)) == 1
    assert len(list(of_kind(resources, "PodDisruptionBudget"))) == len(workloads)
    (network,) = of_kind(resources, "NetworkPolicy")
    selected = _selected(
        network["spec"]["podSelector"]["matchLabels"], list(of_kind(resources, "Deployment", "Job"))
    )
    assert len(selected) == len(workloads) + 1
    (rule,) = network["spec"]["ingress"]
    ports = {port["name"] for _, one in containers(resources) for port in one.get("ports", [])}
    assert {port["port"] for port in rule["ports"]} == ports == {"metrics"}


def test_only_jobs_have_the_files(resources: list[Resource]) -> None:
    with_files = [
        one["metadata"]["name"]
        for one in of_kind(resources, "Deployment", "Job")
        if any("persistentVolumeClaim" in volume for volume in pod_of(one)["volumes"])
    ]
    assert with_files == ["coins-jobs"]


def test_the_base_names_no_namespace_and_no_secret() -> None:
    for one in kustomizing.built(BASE):
        assert "namespace" not in one["metadata"]
        assert one["kind"] != "Secret"


def test_the_readme_names_the_versions_that_are_tried() -> None:
    text = (ROOT / "deploy/README.md").read_text(encoding="utf-8")
    assert re.search(rf"Kubernetes {re.escape(VERSIONS[0])} (to|–) {re.escape(VERSIONS[-1])}", text)


@pytest.mark.parametrize(
    "page", ["deploy/README.md", "deploy/kubernetes/overlays/example/kustomization.yaml"]
)
def test_nothing_is_applied_before_the_job_that_cannot_be_changed_is_gone(page: str) -> None:
    """Its template names settings and secrets by their content: every change of one of them is a change of it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    applied = re.findall(r"^.*kubectl apply -k .*$", text, re.MULTILINE)
    assert applied
    gone_first = "kubectl -n coinworks delete job coins-migrate --ignore-not-found && kubectl apply -k "
    assert [line for line in applied if gone_first not in line] == []


def test_version_control_takes_the_example_and_no_copy_of_it() -> None:
    def ignored(path: Path) -> bool:
        command = ["git", "check-ignore", "--quiet", "--no-index", str(path)]
        return subprocess.run(command, cwd=ROOT, check=False).returncode == 0

    assert not ignored(EXAMPLE / "secrets" / "redis_url")
    assert ignored(EXAMPLE.with_name("production") / "secrets" / "redis_url")


def _selected(labels: dict[str, Any], workloads: list[Resource]) -> list[Resource]:
    return [
        one for one in workloads if labels.items() <= one["spec"]["template"]["metadata"]["labels"].items()
    ]
