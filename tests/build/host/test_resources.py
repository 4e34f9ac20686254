"""What a build needs, and what the machine has: read from /proc and both cgroup versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from build import pipeline
from build.errors import InsufficientResources, OutOfDisk
from build.host.resources import available_memory, check_resources, free_disk
from build.progress import Progress
from manifest import Precision, Target
from tests.support.models import tiny_models
from tests.support.models.tiny_models import TinyModel

GB = 1_000_000_000
BGE_M3 = 2_271_019_008
MINILM = 90_852_864
PLENTY = 1000 * GB
OUTPUT = Path("bundles/large")

MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n"


def machine(root: Path, cgroup: str, files: dict[str, str], meminfo: str = MEMINFO) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    (root / "proc/meminfo").write_text(meminfo)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_large_model_is_refused_where_memory_is_short():
    with pytest.raises(
        InsufficientResources,
        match=r"2\.3 GB of weights in fp32, so a build needs \d\.\d GB of memory, and 4\.0 GB are available",
    ):
        check_resources(BGE_M3, 4 * GB, PLENTY, OUTPUT)


def test_a_large_model_is_refused_where_the_disk_is_short():
    message = r"2\.3 GB of weights in fp32, so a build needs \d\.\d GB of disk at bundles, and 3\.0 GB are free"
    with pytest.raises(OutOfDisk, match=message):
        check_resources(BGE_M3, PLENTY, 3 * GB, OUTPUT)


def test_three_times_the_weights_are_enough_memory_for_a_large_model():
    check_resources(BGE_M3, 3 * BGE_M3, 3 * BGE_M3, OUTPUT)


def test_a_small_model_is_built_on_a_small_machine():
    check_resources(MINILM, GB, GB, OUTPUT)


def test_unknown_memory_is_not_refused():
    check_resources(BGE_M3, None, PLENTY, OUTPUT)


def test_without_a_limit_memory_is_what_the_machine_has_available(tmp_path: Path):
    root = machine(tmp_path, "0::/box\n", {"box/memory.max": "max\n", "box/memory.current": "1000\n"})
    assert available_memory(root) == 8_000_000 * 1024


def test_a_limit_of_version_2_leaves_what_is_not_used_and_what_only_caches_files(tmp_path: Path):
    files = {
        "box/memory.max": f"{4 * GB}\n",
        "box/memory.current": f"{3 * GB}\n",
        "box/memory.stat": f"anon {GB}\nfile {2 * GB}\nshmem {GB}\ninactive_file {GB}\nactive_file 500\n",
    }
    assert available_memory(machine(tmp_path, "0::/box\n", files)) == 2 * GB + 500


def test_the_tightest_of_all_levels_counts(tmp_path: Path):
    files = {
        "pod/memory.max": f"{5 * GB}",
        "pod/memory.current": f"{3 * GB}",
        "pod/box/memory.max": f"{4 * GB}",
        "pod/box/memory.current": f"{GB}",
    }
    assert available_memory(machine(tmp_path, "0::/pod/box\n", files)) == 2 * GB


V1 = {"memory.limit_in_bytes": f"{3 * GB}", "memory.usage_in_bytes": f"{2 * GB}"}
V1_STAT = f"cache {GB}\ninactive_file 1\nactive_file 2\ntotal_inactive_file {GB}\ntotal_active_file 7\n"


def test_a_limit_of_version_1(tmp_path: Path):
    files = {f"memory/docker/1/{name}": text for name, text in {**V1, "memory.stat": V1_STAT}.items()}
    root = machine(tmp_path, "5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n", files)
    assert available_memory(root) == 2 * GB + 7


def test_a_version_1_path_outside_the_mount_falls_back_to_the_mount(tmp_path: Path):
    """In a container the path is often the host's, and the mount shows the container's own group."""
    root = machine(tmp_path, "5:memory:/docker/not-visible-here\n", {f"memory/{name}": V1[name] for name in V1})
    assert available_memory(root) == GB


def test_no_limit_of_version_1_is_a_huge_number(tmp_path: Path):
    files = {"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "5"}
    assert available_memory(machine(tmp_path, "5:memory:/\n", files)) == 8_000_000 * 1024


def test_a_group_over_its_limit_leaves_nothing(tmp_path: Path):
    files = {"memory.max": f"{GB}", "memory.current": f"{2 * GB}"}
    assert available_memory(machine(tmp_path, "0::/\n", files)) == 0


def test_a_machine_that_says_nothing_has_unknown_memory(tmp_path: Path):
    assert available_memory(tmp_path) is None


@pytest.mark.parametrize(
    ("memory", "disk", "error"), [(GB // 2, PLENTY, InsufficientResources), (PLENTY, 1000, OutOfDisk)]
)
def test_a_build_is_refused_before_it_leaves_anything(tmp_path: Path, monkeypatch, memory: int, disk: int, error: type):
    model = tiny_models.make(TinyModel(f"refused-{disk}", "bert", "bert", "BertModel"))
    monkeypatch.setattr(pipeline, "available_memory", lambda: memory)
    monkeypatch.setattr(pipeline, "free_disk", lambda output: disk)
    order = pipeline.BuildOptions(str(model), None, Target.AMD64, Precision.FP32, tmp_path / "new" / "bundle", False)
    with pytest.raises(error):
        pipeline.build_bundle(order, Progress())
    assert not list(tmp_path.iterdir())


def test_free_disk_is_that_of_the_nearest_directory_that_exists(tmp_path: Path):
    assert free_disk(tmp_path / "not" / "yet" / "made") == pytest.approx(free_disk(tmp_path), rel=0.1)
    assert free_disk(tmp_path) > 0
