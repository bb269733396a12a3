"""What the manifests under deploy/kubernetes come to, built by kubectl itself; no cluster is asked."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import do_without
from tests.deploy.box import Container, Mount
from tests.deploy.image import ROOT, Image

KUBECTL = Path(sys.executable).with_name("kubectl")
KUBERNETES = ROOT / "deploy" / "kubernetes"
BASE, EXAMPLE = KUBERNETES / "base", KUBERNETES / "overlays" / "example"
Resource = dict[str, Any]


def built(directory: Path) -> list[Resource]:
    if not KUBECTL.exists():
        do_without("there is no kubectl to install for this machine")
    done = subprocess.run(
        [KUBECTL, "kustomize", directory], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(resources: list[Resource], *kinds: str) -> Iterator[Resource]:
    return (one for one in resources if one["kind"] in kinds)


def pod_of(workload: Resource) -> Resource:
    found: Resource = workload["spec"]["template"]["spec"]
    return found


def container_of(
    resources: list[Resource], workload: Resource, image: Image, directory: Path, secrets: Mapping[str, str]
) -> Container:
    """The container of a Deployment or Job; `secrets` stand in for those of its Secrets that name a server."""
    pod = pod_of(workload)
    (container,) = pod["containers"]
    who = pod["securityContext"]
    volumes = {one["name"]: one for one in pod["volumes"]}
    name = workload["metadata"]["name"]
    mounts, tmpfs = [], []
    for mount in container["volumeMounts"]:
        volume = volumes[mount["name"]]
        if "emptyDir" in volume:
            tmpfs.append(mount["mountPath"])
        elif "secret" in volume:
            given = _secret(resources, volume["secret"], directory / name, who["fsGroup"], secrets)
            mounts.append(Mount(given, mount["mountPath"]))
        else:
            claimed = directory / volume["persistentVolumeClaim"]["claimName"]
            claimed.mkdir(exist_ok=True)
            # As a volume is given to a group.
            os.chown(claimed, 0, who["fsGroup"])
            claimed.chmod(0o2775)
            mounts.append(Mount(claimed, mount["mountPath"], read_only=False))
    return Container(
        name,
        (*image.entrypoint, *container["args"]),
        _environment(resources, container),
        (who["runAsUser"], who["runAsGroup"]),
        tuple(mounts),
        tuple(tmpfs),
        {
            probe.removesuffix("Probe"): tuple(container[probe]["exec"]["command"])
            for probe in ("startupProbe", "livenessProbe", "readinessProbe")
            if probe in container
        },
        groups=(who["fsGroup"],),
        stop_seconds=float(pod.get("terminationGracePeriodSeconds", 30)),
    )


def _environment(resources: list[Resource], container: Resource) -> dict[str, str]:
    maps = {one["metadata"]["name"]: one["data"] for one in of_kind(resources, "ConfigMap")}
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        found |= maps[source["configMapRef"]["name"]]
    return found | {one["name"]: one["value"] for one in container.get("env", [])}


def _secret(
    resources: list[Resource], volume: Resource, directory: Path, group: int, given: Mapping[str, str]
) -> Path:
    """A Secret as a pod has it: files of root's that the pod's group may read."""
    (secret,) = (
        one for one in of_kind(resources, "Secret") if one["metadata"]["name"] == volume["secretName"]
    )
    place = directory / volume["secretName"]
    place.mkdir(parents=True, exist_ok=True)
    for key, encoded in secret["data"].items():
        file = place / key
        file.write_bytes(given[key].encode() if key in given else base64.b64decode(encoded))
        os.chown(file, 0, group)
        file.chmod(volume["defaultMode"])
    return place
