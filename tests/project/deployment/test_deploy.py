"""The compose files are valid and wire Weaviate as documented; the deployment page says what the code does."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from build.model.default_model import MODEL
from build.names import image_tag
from manifest import Precision, Target
from runtime.http.limits import Deadlines
from runtime.settings import read_settings
from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "deploy.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
SETTINGS = (ROOT / "runtime" / "settings.py").read_text()
CHECK_JSONSCHEMA = ROOT / ".venv" / "lint" / "bin" / "check-jsonschema"


@dataclass(frozen=True)
class Vectorizer:
    """A service of a compose file, the variables that name its image and tell Weaviate of it, and its model."""

    service: str
    image_variable: str
    told_by: str
    model: str
    module: str = "text2vec-transformers"
    precision: Precision = Precision.INT8


def default_tag(model: str, arch: str, precision: Precision = Precision.INT8) -> str:
    """What `make image` calls a model's image."""
    return image_tag(model, None, precision, arch)


VECTORIZERS = {
    "docker-compose.yml": [
        Vectorizer("t2v-transformers", "T2V_IMAGE", "TRANSFORMERS_INFERENCE_API", MODEL),
    ],
    "docker-compose.model2vec.yml": [
        Vectorizer(
            "m2v",
            "M2V_IMAGE",
            "MODEL2VEC_INFERENCE_API",
            "minishlab/potion-base-8M",
            "text2vec-model2vec",
            Precision.STORED,
        ),
    ],
    "docker-compose.rerank.yml": [
        Vectorizer("t2v-transformers", "T2V_IMAGE", "TRANSFORMERS_INFERENCE_API", MODEL),
        Vectorizer(
            "reranker-transformers",
            "RERANK_IMAGE",
            "RERANKER_INFERENCE_API",
            "cross-encoder/ms-marco-MiniLM-L6-v2",
            "reranker-transformers",
        ),
    ],
    "docker-compose.clip.yml": [
        Vectorizer(
            "clip",
            "CLIP_IMAGE",
            "CLIP_INFERENCE_API",
            "sentence-transformers/clip-ViT-B-32",
            "multi2vec-clip",
        ),
    ],
    "docker-compose.dpr.yml": [
        Vectorizer(
            "t2v-passage",
            "T2V_PASSAGE_IMAGE",
            "TRANSFORMERS_PASSAGE_INFERENCE_API",
            "facebook/dpr-ctx_encoder-single-nq-base",
        ),
        Vectorizer(
            "t2v-query",
            "T2V_QUERY_IMAGE",
            "TRANSFORMERS_QUERY_INFERENCE_API",
            "facebook/dpr-question_encoder-single-nq-base",
        ),
    ],
}


@pytest.fixture(scope="module", params=VECTORIZERS)
def name(request: pytest.FixtureRequest) -> str:
    """Of the compose file."""
    return request.param


@pytest.fixture(scope="module")
def compose(name: str) -> dict[str, Any]:
    return read(name)


@pytest.fixture(scope="module")
def weaviate(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]["weaviate"]


@pytest.fixture(scope="module")
def vectorizers(name: str, compose: dict[str, Any]) -> list[dict[str, Any]]:
    return [compose["services"][vectorizer.service] for vectorizer in VECTORIZERS[name]]


def read(name: str) -> dict[str, Any]:
    """Every scalar as the string that is written there."""
    return yaml.load((DEPLOY / name).read_text(), yaml.BaseLoader)


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_every_compose_file_is_tested():
    assert {path.name for path in DEPLOY.glob("*.yml")} == set(VECTORIZERS)


class TestCompose:
    def test_it_is_valid(self, name: str):
        command = [CHECK_JSONSCHEMA, "--builtin-schema", "vendor.compose-spec", DEPLOY / name]
        checked = subprocess.run(command, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr

    def test_there_are_weaviate_and_its_vectorizers(self, name: str, compose: dict[str, Any]):
        assert set(compose["services"]) == {"weaviate", *(vectorizer.service for vectorizer in VECTORIZERS[name])}

    def test_weaviate_is_pinned_and_all_images_are_variables(
        self, name: str, weaviate: dict[str, Any], vectorizers: list[dict[str, Any]]
    ):
        assert re.fullmatch(
            r"cr\.weaviate\.io/semitechnologies/weaviate:\$\{WEAVIATE_VERSION:-\d+\.\d+\.\d+\}", weaviate["image"]
        )
        assert [vectorizer["image"] for vectorizer in vectorizers] == [
            f"${{{vectorizer.image_variable}:-{default_tag(vectorizer.model, 'amd64', vectorizer.precision)}}}"
            for vectorizer in VECTORIZERS[name]
        ]

    def test_every_variable_has_a_default_and_a_line_at_the_head(self, name: str):
        text = (DEPLOY / name).read_text()
        variables = re.findall(r"\$\{?(\w+)(:-[^}]+)?", text)
        assert variables
        assert all(default for _, default in variables)
        head = text.split("services:")[0]
        assert set(re.findall(r"^#   ([A-Z0-9_]+)  ", head, re.MULTILINE)) == {name for name, _ in variables}

    def test_weaviate_uses_the_vectorizers(self, name: str, weaviate: dict[str, Any]):
        assert weaviate["environment"] == {
            "ENABLE_MODULES": ",".join(dict.fromkeys(vectorizer.module for vectorizer in VECTORIZERS[name])),
            "DEFAULT_VECTORIZER_MODULE": VECTORIZERS[name][0].module,
            **{vectorizer.told_by: f"http://{vectorizer.service}:8080" for vectorizer in VECTORIZERS[name]},
            "PERSISTENCE_DATA_PATH": "/var/lib/weaviate",
            "CLUSTER_HOSTNAME": "node1",
            "QUERY_DEFAULTS_LIMIT": "25",
            "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
        }
        assert re.search(r"^DEFAULT_PORT = 8080$", SETTINGS, re.MULTILINE)

    def test_the_data_outlives_the_container(self, compose: dict[str, Any], weaviate: dict[str, Any]):
        assert weaviate["volumes"] == ["weaviate_data:" + weaviate["environment"]["PERSISTENCE_DATA_PATH"]]
        assert "weaviate_data" in compose["volumes"]

    def test_weaviate_waits_until_the_vectorizers_are_healthy(
        self, name: str, weaviate: dict[str, Any], vectorizers: list[dict[str, Any]]
    ):
        healthy = {"condition": "service_healthy"}
        assert weaviate["depends_on"] == {vectorizer.service: healthy for vectorizer in VECTORIZERS[name]}
        assert weaviate["healthcheck"]["test"][-1] == "http://127.0.0.1:8080/v1/.well-known/ready"
        # the image's own
        assert not any("healthcheck" in vectorizer for vectorizer in vectorizers)

    def test_open_access_is_open_to_this_machine_alone(
        self, weaviate: dict[str, Any], vectorizers: list[dict[str, Any]]
    ):
        assert weaviate["ports"] == ["127.0.0.1:8080:8080", "127.0.0.1:50051:50051"]
        assert not any("ports" in vectorizer for vectorizer in vectorizers)

    def test_no_gpu_is_asked_for(self, vectorizers: list[dict[str, Any]]):
        for vectorizer in vectorizers:
            assert vectorizer["environment"] == {"ENABLE_CUDA": "0"}
            assert not set(vectorizer) & {"runtime", "gpus", "devices", "device_cgroup_rules", "deploy"}

    def test_the_vectorizers_are_locked_down(self, vectorizers: list[dict[str, Any]]):
        for vectorizer in vectorizers:
            assert vectorizer["read_only"] == "true"
            assert vectorizer["cap_drop"] == ["ALL"]
            assert vectorizer["security_opt"] == ["no-new-privileges:true"]
            assert vectorizer["mem_limit"] == "${T2V_MEMORY:-1g}"
            assert not set(vectorizer) & {"privileged", "cap_add", "volumes", "network_mode", "pid", "ipc", "user"}

    def test_the_vectorizers_have_no_way_out(
        self, compose: dict[str, Any], weaviate: dict[str, Any], vectorizers: list[dict[str, Any]]
    ):
        assert all(vectorizer["networks"] == ["inference"] for vectorizer in vectorizers)
        assert "inference" in weaviate["networks"]
        assert compose["networks"]["inference"] == {"internal": "true"}


def test_weaviate_is_the_same_in_all_files():
    """But for the module and the vectorizers that it is told of and waits for."""
    services = []
    for name, vectorizers in VECTORIZERS.items():
        weaviate = read(name)["services"]["weaviate"]
        del weaviate["depends_on"]
        for variable in ("ENABLE_MODULES", "DEFAULT_VECTORIZER_MODULE", *(found.told_by for found in vectorizers)):
            del weaviate["environment"][variable]
        services.append(weaviate)
    assert all(service == services[0] for service in services)


def test_vectors_of_the_pair_are_kept_apart_from_those_of_the_other_file():
    """Volumes are named after the project."""
    names = [read(name)["name"] for name in VECTORIZERS]
    assert len(set(names)) == len(names)


class TestPage:
    """docs/deploy.md"""

    def test_figures_are_those_of_the_server(self):
        deadlines, settings = Deadlines(), read_settings({})
        text = " ".join(PAGE.split())
        assert f"kept for {deadlines.keep_alive:g} s" in text
        assert f"after {deadlines.age:g} s, more or less," in text
        assert f"`DRAIN_SECONDS` ({settings.drain_seconds})" in text
        assert f"`LINGER_SECONDS` ({settings.linger_seconds})" in text
        assert settings.drain_seconds + 1 < 10

    def test_images_are_named_as_make_names_them(self):
        assert set(re.findall(r"cpu2vec:sentence\S+", PAGE)) == {default_tag(MODEL, "amd64")}
        assert {tag.rsplit("-", 1)[1] for tag in re.findall(r"cpu2vec:\S+", PAGE)} <= set(Target)

    def test_bodies_that_it_sends_are_json(self):
        bodies = re.findall(r"--json '(.*?)'", "".join(code_blocks("sh")), re.DOTALL)
        assert [sorted(json.loads(body)) for body in bodies] == [
            ["class", "moduleConfig", "properties", "vectorizer"],
            ["class", "properties"],
            ["query"],
            ["class", "moduleConfig", "properties", "vectorizer"],
            ["class", "moduleConfig", "properties", "vectorIndexConfig", "vectorizer"],
        ]

    def test_the_collection_with_images_weighs_each_of_its_fields(self):
        (body,) = [body for body in re.findall(r"--json '(.*?)'", PAGE, re.DOTALL) if "imageFields" in body]
        schema = json.loads(body)
        config, types = schema["moduleConfig"]["multi2vec-clip"], {"textFields": ["text"], "imageFields": ["blob"]}
        properties = {entry["name"]: entry["dataType"] for entry in schema["properties"]}
        assert set(config) == {*types, "weights"}
        for fields, type in types.items():
            assert [properties[name] for name in config[fields]] == [type]
            assert len(config["weights"][fields]) == len(config[fields])
        assert schema["vectorizer"] == VECTORIZERS["docker-compose.clip.yml"][0].module

    def test_a_collection_of_its_own_names_both_halves_of_a_pair(self):
        """Weaviate takes passageInferenceUrl and queryInferenceUrl together, and no inferenceUrl beside them."""
        pair = VECTORIZERS["docker-compose.dpr.yml"]
        (body,) = [body for body in re.findall(r"--json '(.*?)'", PAGE, re.DOTALL) if "InferenceUrl" in body]
        config = json.loads(body)["moduleConfig"]["text2vec-transformers"]
        urls = {key: value for key, value in config.items() if key.lower().endswith("inferenceurl")}
        passage, query = (f"http://{vectorizer.service}:8080" for vectorizer in pair)
        assert urls == {"passageInferenceUrl": passage, "queryInferenceUrl": query}

    def test_the_pair_that_it_makes_is_the_one_that_the_file_runs(self):
        made = re.findall(r"^make image MODEL=(facebook/\S+)", "".join(code_blocks("sh")), re.MULTILINE)
        assert made == [vectorizer.model for vectorizer in VECTORIZERS["docker-compose.dpr.yml"]]

    def test_files_that_it_names_exist(self):
        named = [ROOT / name for name in re.findall(r"(?:deploy|\.github)/[\w./-]+\w", PAGE)]
        assert named
        assert all(path.exists() for path in named)
