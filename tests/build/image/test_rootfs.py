"""What the image's root file system is made of, and what is left out."""

from __future__ import annotations

import json
import marshal
import os
import subprocess
import sys
from pathlib import Path

import pytest

from build.image import rootfs
from manifest import Kind
from tests.support.image.fake_docker import write_bundle
from tests.support.paths import ROOT

PYC_HEADER = 16


def test_pruning_removes_what_the_table_lists(tmp_path: Path):
    for name in ("kept/file", "kept/tests/file", "gone/file", "kept/deep/tests/file"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    rootfs.prune(tmp_path, (rootfs.Unused("unused", ("gone", "**/tests")),))
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == ["kept/file"]


def test_a_row_that_matches_nothing_is_out_of_date(tmp_path: Path):
    with pytest.raises(LookupError, match='row "unused"'):
        rootfs.prune(tmp_path, (rootfs.Unused("unused", ("gone",)),))


def test_compiled_modules_know_their_path_in_the_image(tmp_path: Path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "module.py").write_text("answer = 42\n")
    rootfs.compile_below(tmp_path / "app", tmp_path)
    (compiled,) = (tmp_path / "app").rglob("*.pyc")
    assert marshal.loads(compiled.read_bytes()[PYC_HEADER:]).co_filename == "/app/module.py"

    # A source's date or content must not make Python compile again what it cannot write.
    (tmp_path / "app" / "module.py").write_text("broken source")
    command = [sys.executable, "-c", "import module; print(module.answer)"]
    ran = subprocess.run(command, cwd=tmp_path / "app", check=True, capture_output=True, text=True)
    assert ran.stdout == "42\n"

    with pytest.raises(SyntaxError):
        rootfs.compile_below(tmp_path / "app", tmp_path)


class TestRootFiles:
    """What the image's root takes from a base image that is read and never run."""

    @pytest.fixture
    def base(self, tmp_path: Path) -> Path:
        base = tmp_path / "base"
        (base / "var/lib/dpkg/info").mkdir(parents=True)
        (base / "usr/lib/arch").mkdir(parents=True)
        (base / "lib").symlink_to("usr/lib")
        (base / "usr/lib/arch/libc.so.6").write_text("glibc")
        (base / "usr/lib/arch/libz.so.1").symlink_to("libz.so.1.2")
        (base / "var/lib/dpkg/status").write_text(
            "Package: libc6\nStatus: install ok installed\nVersion: 2\n\n"
            "Package: zlib1g\nStatus: install ok installed\nVersion: 1\n\n"
            "Package: libffi8\nStatus: deinstall ok config-files\nVersion: 3\n\n"
            "Package: bash\nStatus: install ok installed\nVersion: 5\n"
        )
        for name in ("libc6", "zlib1g"):
            (base / "usr/share/doc" / name).mkdir(parents=True)
            (base / "usr/share/doc" / name / "copyright").write_text("license")
        info = base / "var/lib/dpkg/info"
        (info / "libc6:amd64.list").write_text("/.\n/lib\n/lib/arch\n/lib/arch/libc.so.6\n/usr/share/doc/libc6/gone\n")
        (info / "zlib1g:amd64.list").write_text("/.\n/lib\n/lib/arch\n/lib/arch/libz.so.1\n")
        return base

    def test_needed_packages_that_the_base_has_are_copied_with_their_entries(self, base: Path, tmp_path: Path):
        notes = rootfs.gather(base, tmp_path / "root")
        assert [note.splitlines()[0] for note in notes] == ["Package: libc6", "Package: zlib1g"]
        files = {path.relative_to(tmp_path / "root").as_posix() for path in (tmp_path / "root").rglob("*")}
        assert files == {"lib", "lib/arch", "lib/arch/libc.so.6", "lib/arch/libz.so.1"}
        assert not (tmp_path / "root/lib").is_symlink()
        assert (tmp_path / "root/lib/arch/libz.so.1").readlink() == Path("libz.so.1.2")

    def test_a_package_whose_license_the_base_left_out_is_downloaded(self, base: Path, capsys):
        (base / "usr/share/doc/zlib1g/copyright").unlink()
        assert list(rootfs.installed(base)) == ["libc6"]
        rootfs.main(["missing", str(base), "amd64"])
        assert "zlib1g:amd64" in capsys.readouterr().out.split()

    def test_the_rest_is_named_for_the_target(self, base: Path, capsys: pytest.CaptureFixture[str]):
        rootfs.main(["missing", str(base), "arm64"])
        named = capsys.readouterr().out.split()
        assert "libffi8:arm64" in named
        assert "python3.11-minimal:arm64" in named
        assert not [name for name in named if name.startswith(("libc6", "zlib1g", "bash"))]


class TestKinds:
    def test_every_kind_has_a_row(self):
        assert set(rootfs.UNUSED_BY_KIND) == set(Kind)

    def test_the_kind_is_that_of_the_bundle(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        rootfs.main(["kind", str(write_bundle(tmp_path / "bundle"))])
        assert capsys.readouterr().out == "text\n"

    @pytest.mark.parametrize("manifest", [{"kind": "smell"}, {}])
    def test_an_unknown_kind_stops_the_build(self, tmp_path: Path, manifest: dict[str, str]):
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(LookupError, match="has no row in UNUSED_BY_KIND, which knows clip, rerank, static, text"):
            rootfs.main(["kind", str(tmp_path)])

    def test_the_application_is_pruned_by_the_rows_of_its_kind(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        rows = (rootfs.Unused("packages'", ("package",)), rootfs.Unused("unused", ("library",), rootfs.APPLICATION))
        monkeypatch.setattr(rootfs, "UNUSED_BY_KIND", {"one": rows, "other": rows[:1]})
        for kind, left in (("one", {"code"}), ("other", {"code", "library"})):
            application = tmp_path / kind / rootfs.APPLICATION
            for name in ("code", "library"):
                (application / name).mkdir(parents=True)
            (application / "code" / "module.py").write_text("")
            rootfs.main(["application", kind, str(tmp_path / kind)])
            assert {path.name for path in application.iterdir()} == left
            assert [path.name for path in (application / "code" / "__pycache__").iterdir()]

    def test_kernels_are_in_images_of_kinds_that_run_graphs(self):
        without = [kind for kind in Kind if any("kernels" in row.patterns for row in rootfs.UNUSED_BY_KIND[kind])]
        assert without == [Kind.STATIC]

    @pytest.mark.skipif(not Path("/usr/bin/strip").exists(), reason="binutils is missing")
    def test_packages_are_pruned_by_the_rows_of_their_kind(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        rows = {kind: (rootfs.Unused("unused", (f"{kind}_only",)),) for kind in ("one", "other")}
        monkeypatch.setattr(rootfs, "UNUSED_BY_KIND", rows)
        monkeypatch.setattr(rootfs, "WITH_DEBUG_INFORMATION", ("native",))
        packages = tmp_path / rootfs.PACKAGES
        for name in ("one_only", "other_only", "native"):
            (packages / name).mkdir(parents=True)
        (packages / "native" / "library.so").write_bytes(Path(sys.executable).resolve().read_bytes())
        (packages / "other_only" / "module.py").write_text("")
        rootfs.main(["packages", "one", str(tmp_path)])
        assert {path.name for path in packages.iterdir()} == {"other_only", "native"}
        assert [path.name for path in (packages / "other_only" / "__pycache__").iterdir()]
        with pytest.raises(LookupError, match="it is out of date"):
            rootfs.main(["packages", "one", str(tmp_path)])


def test_two_trees_of_the_same_content_are_the_same(tmp_path: Path):
    trees = [tmp_path / name for name in ("one", "two")]
    for number, tree in enumerate(trees):
        (tree / "app").mkdir(parents=True)
        (tree / "app" / "module.py").write_text("names = {'a', 'b', 'c'}\nprint('x' in {'x', 'y', 'z'})\n")
        (tree / "app" / "link").symlink_to("module.py")
        os.utime(tree / "app" / "module.py", (number, number))
        program = "import sys; from pathlib import Path; from build.image import rootfs; "
        program += "root = Path(sys.argv[1]); rootfs.compile_below(root / 'app', root); rootfs.settle(root)"
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run([sys.executable, "-c", program, tree], cwd=ROOT, env=environment, check=True)
    first, second = (
        {
            path.relative_to(tree): (path.lstat().st_mtime, path.lstat().st_mode, path.is_file() and path.read_bytes())
            for path in (tree, *tree.rglob("*"))
        }
        for tree in trees
    )
    assert first == second
    assert {time for time, _, _ in first.values()} == {rootfs.EPOCH}
