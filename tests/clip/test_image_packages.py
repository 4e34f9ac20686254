"""What an image leaves out of Pillow is not needed to read images."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from build.fidelity.runtime_process import RUNTIME_PYTHON
from build.image import rootfs
from tests.support.paths import ROOT

PROGRAM = """
import io
import sys
from pathlib import Path

import PIL
import PIL.Image
from runtime.images.decoder import OPENERS, decode
from runtime.images.sniff import read_outline
from sections.pixels import PixelInput

outlines = [read_outline(path.read_bytes(), 1 << 26) for path in sorted(Path("tests/data/images").iterdir())]
for outline in outlines:
    decode(outline, PixelInput(224, 224, 1 / 255, (0, 0, 0), (1, 1, 1)))
assert {outline.format for outline in outlines} == set(OPENERS)
for mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I", "I;16", "F"):
    file = io.BytesIO()
    PIL.Image.new(mode, (9, 9)).save(file, "TIFF")
    decode(read_outline(file.getvalue(), 1 << 26), PixelInput(224, 224, 1 / 255, (0, 0, 0), (1, 1, 1)))
print(Path(PIL.__file__).parent.parent)
"""


def test_every_sample_and_every_mode_is_read_without_what_images_leave_out(tmp_path: Path):
    (packages,) = (RUNTIME_PYTHON.parent.parent / "lib").glob("python3*/site-packages")
    for name in ("PIL", "pillow.libs"):
        shutil.copytree(packages / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    before = sum(path.stat().st_size for path in tmp_path.rglob("*"))
    rootfs.prune(tmp_path, rootfs.UNUSED_OF_PILLOW)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*")) < 0.7 * before
    result = subprocess.run(
        [RUNTIME_PYTHON, "-W", "error", "-c", PROGRAM],
        cwd=ROOT,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert (result.stderr, result.stdout) == ("", f"{tmp_path}\n")


def test_images_of_other_kinds_have_no_pillow_at_all():
    for kind, rows in rootfs.UNUSED_BY_KIND.items():
        assert (rootfs.WITHOUT_IMAGES in rows) == (kind != "clip")
