"""The compose file is valid and wires Weaviate as documented; the deployment page says what the code does."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifest import Target

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "deploy" / "docker-compose.yml"
PAGE = (ROOT / "docs" / "deploy.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
SETTINGS = (ROOT / "runtime" / "settings.py").read_text()
CHECK_JSONSCHEMA = ROOT / ".venv" / "lint" / "bin" / "check-jsonschema"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """Every scalar as the string that is written there."""
    return yaml.load(COMPOSE.read_text(), yaml.BaseLoader)


@pytest.fixture(scope="module")
def weaviate(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]["weaviate"]


@pytest.fixture(scope="module")
def vectorizer(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]["t2v-transformers"]


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def default_tag(arch: str) -> str:
    """What `make image` calls the default model's image."""
    model = re.search(r"^MODEL \?= (\S+)$", MAKEFILE, re.MULTILINE)
    assert model
    return f"cpu2vec:{model[1].lower().replace('/', '-')}-{arch}"


class TestCompose:
    def test_it_is_valid(self):
        command = [CHECK_JSONSCHEMA, "--builtin-schema", "vendor.compose-spec", COMPOSE]
        checked = subprocess.run(command, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr

    def test_there_are_two_services(self, compose: dict[str, Any]):
        assert set(compose["services"]) == {"weaviate", "t2v-transformers"}

    def test_weaviate_is_pinned_and_both_images_are_variables(
        self, weaviate: dict[str, Any], vectorizer: dict[str, Any]
    ):
        assert re.fullmatch(
            r"cr\.weaviate\.io/semitechnologies/weaviate:\$\{WEAVIATE_VERSION:-\d+\.\d+\.\d+\}", weaviate["image"]
        )
        assert vectorizer["image"] == f"${{T2V_IMAGE:-{default_tag('amd64')}}}"

    def test_every_variable_has_a_default_and_a_line_at_the_head(self):
        text = COMPOSE.read_text()
        variables = re.findall(r"\$\{?(\w+)(:-[^}]+)?", text)
        assert variables
        assert all(default for _, default in variables)
        head = text.split("services:")[0]
        assert set(re.findall(r"^#   ([A-Z0-9_]+) ", head, re.MULTILINE)) == {name for name, _ in variables}

    def test_weaviate_uses_the_vectorizer(self, weaviate: dict[str, Any]):
        assert weaviate["environment"] == {
            "ENABLE_MODULES": "text2vec-transformers",
            "DEFAULT_VECTORIZER_MODULE": "text2vec-transformers",
            "TRANSFORMERS_INFERENCE_API": "http://t2v-transformers:8080",
            "PERSISTENCE_DATA_PATH": "/var/lib/weaviate",
            "CLUSTER_HOSTNAME": "node1",
            "QUERY_DEFAULTS_LIMIT": "25",
            "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
        }
        assert re.search(r"^DEFAULT_PORT = 8080$", SETTINGS, re.MULTILINE)

    def test_the_data_outlives_the_container(self, compose: dict[str, Any], weaviate: dict[str, Any]):
        assert weaviate["volumes"] == ["weaviate_data:" + weaviate["environment"]["PERSISTENCE_DATA_PATH"]]
        assert "weaviate_data" in compose["volumes"]

    def test_weaviate_waits_until_the_vectorizer_is_healthy(self, weaviate: dict[str, Any], vectorizer: dict[str, Any]):
        assert weaviate["depends_on"] == {"t2v-transformers": {"condition": "service_healthy"}}
        assert weaviate["healthcheck"]["test"][-1] == "http://127.0.0.1:8080/v1/.well-known/ready"
        # the image's own
        assert "healthcheck" not in vectorizer

    def test_open_access_is_open_to_this_machine_alone(self, weaviate: dict[str, Any], vectorizer: dict[str, Any]):
        assert weaviate["ports"] == ["127.0.0.1:8080:8080", "127.0.0.1:50051:50051"]
        assert "ports" not in vectorizer

    def test_no_gpu_is_asked_for(self, vectorizer: dict[str, Any]):
        assert vectorizer["environment"] == {"ENABLE_CUDA": "0"}
        assert not set(vectorizer) & {"runtime", "gpus", "devices", "device_cgroup_rules", "deploy"}

    def test_the_vectorizer_is_locked_down(self, compose: dict[str, Any], vectorizer: dict[str, Any]):
        assert vectorizer["read_only"] == "true"
        assert vectorizer["cap_drop"] == ["ALL"]
        assert vectorizer["security_opt"] == ["no-new-privileges:true"]
        assert vectorizer["mem_limit"] == "${T2V_MEMORY:-1g}"
        assert not set(vectorizer) & {"privileged", "cap_add", "volumes", "network_mode", "pid", "ipc", "user"}

    def test_the_vectorizer_has_no_way_out(
        self, compose: dict[str, Any], weaviate: dict[str, Any], vectorizer: dict[str, Any]
    ):
        assert vectorizer["networks"] == ["inference"]
        assert "inference" in weaviate["networks"]
        assert compose["networks"]["inference"] == {"internal": "true"}


class TestPage:
    """docs/deploy.md"""

    def test_the_settings_exist(self):
        listed = re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE)
        read = set(re.findall(r'read\(\s*"([A-Z_]+)"', SETTINGS))
        assert {"PORT", "THREADS"} <= set(listed) <= read

    def test_default_sizes_are_those_of_the_code(self):
        shift = re.search(r"^DEFAULT_MAX_BODY_BYTES = 1 << (\d+)$", SETTINGS, re.MULTILINE)
        assert shift
        assert f"| `MAX_BODY_BYTES` | {1 << int(shift[1])} |" in PAGE

    def test_figures_are_those_of_the_server(self):
        server = (ROOT / "runtime" / "server.py").read_text()
        seconds = {name: int(value) for name, value in re.findall(r"^(\w+)_SECONDS = (\d+)$", server, re.MULTILINE)}
        assert f"kept for {seconds['KEEP_ALIVE']} s" in PAGE
        assert seconds["DRAIN"] + 1 < 10

    def test_images_are_named_as_make_names_them(self):
        assert set(re.findall(r"cpu2vec:sentence\S+", PAGE)) == {default_tag("amd64")}
        assert {tag.rsplit("-", 1)[1] for tag in re.findall(r"cpu2vec:\S+", PAGE)} <= set(Target)

    def test_make_targets_exist(self):
        for target in re.findall(r"^make (\S+)", "".join(code_blocks("sh")), re.MULTILINE):
            assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)

    def test_shell_blocks_are_valid_shell(self):
        blocks = code_blocks("sh")
        assert blocks
        for block in blocks:
            subprocess.run(["bash", "-n"], input=block, text=True, check=True)

    def test_bodies_that_it_sends_are_json(self):
        bodies = re.findall(r"--json '(.*?)'", "".join(code_blocks("sh")), re.DOTALL)
        assert [sorted(json.loads(body)) for body in bodies] == [
            ["class", "moduleConfig", "properties", "vectorizer"],
            ["class", "properties"],
            ["query"],
        ]

    def test_probes_ask_for_paths_that_the_server_has(self):
        (container,) = yaml.safe_load(code_blocks("yaml")[0])["containers"]
        routes = re.findall(r'add_route\("([^"]+)"', (ROOT / "runtime" / "app.py").read_text())
        for probe, path in (("livenessProbe", "/.well-known/live"), ("readinessProbe", "/.well-known/ready")):
            assert container[probe]["httpGet"] == {"path": path, "port": 8080}
            assert path in routes
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["image"] == default_tag("amd64")

    def test_files_that_it_names_exist(self):
        named = [ROOT / name for name in re.findall(r"(?:deploy|\.github)/[\w./-]+\w", PAGE)]
        linked = [ROOT / "docs" / name for name in re.findall(r"\]\(([^)#]+)\)", PAGE)]
        assert named
        assert linked
        assert all(path.is_file() for path in named + linked)
