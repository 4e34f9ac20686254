"""What is in the default model's two images: little, readable by everybody, compiled, and named for scanners."""

from __future__ import annotations

import re
import tarfile

import pytest

from build.model.default_model import MODEL
from manifest import Target
from tests.support.image.containers import archive, inspect
from tests.support.paths import ROOT

pytestmark = pytest.mark.system

LARGEST = 200_000_000
LARGEST_LIBRARY = 1_000_000


def test_it_is_small(images: dict[Target, str], files: dict[str, tarfile.TarInfo], target: Target):
    size = inspect(images[target])["Size"]
    bundle = sum(member.size for name, member in files.items() if name.startswith("bundle/"))
    print(f"{target}: {size / 1e6:.1f} MB, {(size - bundle) / 1e6:.1f} MB of it not the bundle")
    assert bundle > 1_000_000
    assert size - bundle <= LARGEST


def test_what_only_a_build_needs_is_not_inside(files: dict[str, tarfile.TarInfo], target: Target):
    assert [name for name in files if re.search(r"(^|/)s?bin/.", name)] == ["usr/bin/python3.11"]
    packages = r"torch|transformers|optimum|sentence_transformers|huggingface_hub|onnx|pip|setuptools|ensurepip|build"
    assert [name for name in files if re.search(rf"(^|/)({packages})(-[\d.]+\.dist-info)?$", name)] == []
    needed = {"app/manifest.py", "app/runtime/__main__.py", "app/runtime/page/index.html", "bundle/manifest.json"}
    assert needed <= set(files)
    assert {name.split("/")[1] for name in files if name.startswith("app/")} == {
        "VERSION",
        "__pycache__",
        "kernels",
        "manifest.py",
        "runtime",
        "sections",
    }
    library = f"app/kernels/lib/libcpu2vec-{target}.so"
    assert [name for name, file in files.items() if name.startswith("app/kernels/") and file.isfile()] == [library]
    assert files[library].size < LARGEST_LIBRARY


def test_everybody_can_read_it_and_only_root_could_write_it(files: dict[str, tarfile.TarInfo]):
    for name, member in files.items():
        if member.isfile() and name not in (".dockerenv", "dev/console"):
            assert member.mode & 0o004, f"{name} is not readable"
            assert not member.mode & 0o6022, f"{name} is writable or runs as another user"
            assert (member.uid, member.gid) == (0, 0)


def test_every_module_is_compiled(files: dict[str, tarfile.TarInfo]):
    for name in files:
        if name.endswith(".py") and name.startswith(("app/", "usr/local/lib/")):
            folder, _, module = name.rpartition("/")
            assert f"{folder}/__pycache__/{module[:-3]}.cpython-311.pyc" in files


def test_scanners_find_the_packages(images: dict[Target, str], target: Target):
    exported = archive(images[target], target)
    status = exported.extractfile("var/lib/dpkg/status").read().decode()
    packages = [dict(re.findall(r"^(\S+): (.*)$", entry, re.MULTILINE)) for entry in status.strip().split("\n\n")]
    assert {"libc6", "libssl3", "libstdc++6", "python3.11-minimal"} <= {entry["Package"] for entry in packages}
    for entry in packages:
        assert entry["Status"] == "install ok installed"
        assert entry["Architecture"] == target
        assert entry["Version"]
        assert f"usr/share/doc/{entry['Package']}" in exported.getnames()
    assert b"bookworm" in exported.extractfile("usr/lib/os-release").read()


def test_labels_and_configuration_say_what_it_is(images: dict[Target, str], target: Target):
    image = inspect(images[target])
    assert (image["Architecture"], image["Os"]) == (target, "linux")
    labels = image["Config"]["Labels"]
    assert labels["cpu2vec.model"] == labels["org.opencontainers.image.title"] == MODEL
    assert (labels["cpu2vec.target"], labels["cpu2vec.precision"]) == (target, "int8")
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.version"] == (ROOT / "VERSION").read_text().strip()
    assert labels["cpu2vec.model.license"] == "apache-2.0"
    assert labels["cpu2vec.model.revision"].startswith("sha256:")
    assert float(labels["cpu2vec.fidelity.cosine_mean"]) >= 0.99
    assert image["Config"]["User"] == "65532:65532"
    assert list(image["Config"]["ExposedPorts"]) == ["8080/tcp"]
