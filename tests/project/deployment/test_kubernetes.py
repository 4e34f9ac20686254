"""The manifests and chart values for Kubernetes are valid, and say what the server and Weaviate's chart can do."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from build.model.default_model import MODEL
from build.names import image_tag
from manifest import Precision, Target
from runtime.api.paths import COMMON_PATHS
from runtime.settings import read_settings
from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy"
MANIFESTS = DEPLOY / "kubernetes.yaml"
AUTOSCALER = DEPLOY / "prometheus" / "autoscaler.yaml"
HELM_VALUES = sorted((DEPLOY / "helm").glob("values-*.yaml"))
KUBERNETES_VALIDATE = ROOT / ".venv" / "lint" / "bin" / "kubernetes-validate"
VERSIONS = ("1.32", "1.37")
"""Of Kubernetes, whose own schemas the manifests are checked with: the oldest and the newest that are tried."""

WEAVIATE_TIMEOUT = 50
"""Seconds after which Weaviate gives up."""

MODULES = {
    "multi2vec-clip": ("sentence-transformers/clip-ViT-B-32", Precision.INT8, True),
    "text2vec-transformers": (MODEL, Precision.INT8, True),
    "text2vec-model2vec": ("minishlab/potion-base-8M", Precision.STORED, False),
    "reranker-transformers": ("cross-encoder/ms-marco-MiniLM-L6-v2", Precision.INT8, True),
}
"""Of each module of the chart: a model, its default precision, and whether the chart knows ``envconfig`` for it."""

CHART_KEYS = {
    "enabled": bool,
    "registry": str,
    "repo": str,
    "tag": str,
    "replicas": int,
    "readinessProbe": {"initialDelaySeconds": int, "periodSeconds": int},
    "livenessProbe": {"initialDelaySeconds": int, "periodSeconds": int, "timeoutSeconds": int},
    "resources": dict,
    "securityContext": dict,
    "nodeSelector": dict,
    "envconfig": {"enable_cuda": bool},
}
"""What the chart reads of a module (weaviate-helm 17.8.3, values.yaml), as far as the files use it."""

POD_SECURITY = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(MANIFESTS.read_text()))


@pytest.fixture(scope="module")
def manifests() -> dict[str, dict[str, Any]]:
    """By kind, of which there is one each."""
    return {document["kind"]: document for document in documents()}


@pytest.fixture(scope="module")
def deployment(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return manifests["Deployment"]["spec"]


@pytest.fixture(scope="module")
def pod(deployment: dict[str, Any]) -> dict[str, Any]:
    return deployment["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["containers"]
    return container


class TestManifests:
    """deploy/kubernetes.yaml"""

    @pytest.mark.parametrize("version", VERSIONS)
    def test_they_are_valid(self, version: str):
        checked = validate(MANIFESTS, version)
        assert checked.returncode == 0, checked.stdout + checked.stderr

    def test_a_mistake_would_be_found(self, tmp_path: Path):
        mistaken = MANIFESTS.read_text().replace("readOnlyRootFilesystem:", "readOnlyRootFileSystem:")
        (tmp_path / "mistaken.yaml").write_text(mistaken)
        checked = validate(tmp_path / "mistaken.yaml", VERSIONS[-1])
        assert checked.returncode != 0
        assert "readOnlyRootFileSystem" in checked.stdout + checked.stderr

    def test_there_is_one_of_each_kind(self):
        assert sorted(document["kind"] for document in documents()) == [
            "Deployment",
            "HorizontalPodAutoscaler",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "Service",
        ]

    def test_all_of_them_mean_the_same_pods(self, manifests: dict[str, dict[str, Any]], pod: dict[str, Any]):
        labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
        names = {manifest["metadata"]["name"] for manifest in manifests.values()}
        assert len(names) == 1
        assert manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] in names
        selectors = [
            manifests["Deployment"]["spec"]["selector"]["matchLabels"],
            manifests["Service"]["spec"]["selector"],
            manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
            manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
            *(spread["labelSelector"]["matchLabels"] for spread in pod["topologySpreadConstraints"]),
        ]
        assert all(selector == labels for selector in selectors)

    def test_the_image_is_the_default_models(self, pod: dict[str, Any], container: dict[str, Any]):
        arch = pod["nodeSelector"]["kubernetes.io/arch"]
        assert arch in set(Target)
        assert container["image"] == image_tag(MODEL, None, Precision.INT8, arch)

    def test_a_replacement_is_ready_before_a_replica_stops(self, deployment: dict[str, Any]):
        assert deployment["strategy"] == {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        }

    def test_the_autoscaler_alone_counts_replicas(
        self, manifests: dict[str, dict[str, Any]], deployment: dict[str, Any]
    ):
        """A number in the Deployment would reset what it has decided whenever the file is applied."""
        assert "replicas" not in deployment
        assert manifests["HorizontalPodAutoscaler"]["spec"]["minReplicas"] >= 2

    def test_a_pod_may_drain_for_longer_than_weaviate_waits(self, pod: dict[str, Any], container: dict[str, Any]):
        settings = read_settings({entry["name"]: entry["value"] for entry in container["env"]})
        assert WEAVIATE_TIMEOUT < settings.drain_seconds < pod["terminationGracePeriodSeconds"] - 1

    def test_probes_ask_the_routes_of_the_server(self, container: dict[str, Any]):
        paths = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
        assert paths == {
            "startupProbe": "/.well-known/ready",
            "readinessProbe": "/.well-known/ready",
            "livenessProbe": "/.well-known/live",
        }
        assert set(paths.values()) <= set(COMMON_PATHS)
        assert container["ports"] == [{"name": "http", "containerPort": read_settings({}).port}]

    def test_whole_cores_are_the_limit(self, container: dict[str, Any]):
        resources = container["resources"]
        assert int(resources["limits"]["cpu"]) == int(resources["requests"]["cpu"])

    def test_pods_are_locked_down(self, pod: dict[str, Any], container: dict[str, Any]):
        assert pod["securityContext"] == POD_SECURITY
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["automountServiceAccountToken"] is False
        assert not set(pod) & {"volumes", "hostNetwork", "hostPID", "hostIPC"}

    def test_only_weaviate_gets_in_and_nothing_gets_out(self, manifests: dict[str, dict[str, Any]]):
        policy = manifests["NetworkPolicy"]["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert policy["egress"] == []
        assert [rule["from"] for rule in policy["ingress"]] == [[{"podSelector": {"matchLabels": {"app": "weaviate"}}}]]


class TestChartValues:
    """deploy/helm/"""

    def test_there_is_a_file_for_each_module(self):
        assert {path.name for path in HELM_VALUES} == {f"values-{module}.yaml" for module in MODULES}

    @pytest.mark.parametrize("path", HELM_VALUES, ids=lambda path: path.stem)
    def test_every_key_is_one_that_the_chart_reads(self, path: Path):
        ((module, values),) = yaml.safe_load(path.read_text())["modules"].items()
        _, _, knows_envconfig = MODULES[module]
        assert path.name == f"values-{module}.yaml"
        for key, value in values.items():
            allowed = CHART_KEYS[key]
            if isinstance(allowed, dict):
                assert {name: type(entry) for name, entry in value.items()} == allowed
            else:
                assert isinstance(value, allowed)
        assert ("envconfig" in values) == knows_envconfig

    @pytest.mark.parametrize("path", HELM_VALUES, ids=lambda path: path.stem)
    def test_the_tag_is_the_one_that_make_gives(self, path: Path):
        ((module, values),) = yaml.safe_load(path.read_text())["modules"].items()
        model, precision, _ = MODULES[module]
        arch = values["nodeSelector"]["kubernetes.io/arch"]
        assert f"cpu2vec:{values['tag']}" == image_tag(model, None, precision, arch)

    @pytest.mark.parametrize("path", HELM_VALUES, ids=lambda path: path.stem)
    def test_no_pod_waits_for_its_first_probe(self, path: Path):
        ((_, values),) = yaml.safe_load(path.read_text())["modules"].items()
        assert {values[probe]["initialDelaySeconds"] for probe in ("readinessProbe", "livenessProbe")} == {1}
        assert values["securityContext"] == POD_SECURITY
        assert not values.get("envconfig", {}).get("enable_cuda")

    @pytest.mark.parametrize("path", HELM_VALUES, ids=lambda path: path.stem)
    def test_the_command_names_the_file(self, path: Path):
        assert f"--values {path.relative_to(ROOT)}\n" in path.read_text()


class TestAutoscaler:
    """By the queue, in place of the one that follows the CPU."""

    @pytest.mark.parametrize("version", VERSIONS)
    def test_kubernetes_accepts_it(self, version: str):
        checked = validate(AUTOSCALER, version)
        assert checked.returncode == 0, checked.stdout + checked.stderr

    def test_it_scales_what_the_manifests_deploy(self, manifests: dict[str, dict[str, Any]]):
        _, own = yaml.safe_load_all(AUTOSCALER.read_text())
        other = manifests["HorizontalPodAutoscaler"]
        assert own["metadata"] == other["metadata"]
        for field in ("scaleTargetRef", "minReplicas", "maxReplicas"):
            assert own["spec"][field] == other["spec"][field]


def validate(path: Path, version: str) -> subprocess.CompletedProcess[str]:
    command = [KUBERNETES_VALIDATE, "--strict", "--kubernetes-version", version, path]
    return subprocess.run(command, capture_output=True, text=True)
