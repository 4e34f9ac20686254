"""Decoding takes no more memory than an outline says, since that is what is reserved for it."""

from __future__ import annotations

import subprocess
import sys

from tests.support.paths import ROOT

SLACK_MB = 6
"""What the heap has in reserve, and the square."""

PROGRAM = """
import re
from dataclasses import replace

from runtime.host.memory import release_free_memory
from runtime.images.decoder import decode
from runtime.images.sniff import read_outline
from tests.support.images.inputs import cropped
from tests.support.images.pictures import KINDS, Kind, encoded, gradient, noise

COSTLY = (
    "JPEG-RGB", "JPEG-RGB-progressive", "JPEG-CMYK-progressive", "PNG-RGBA", "PNG-P", "GIF-P", "WEBP-RGB",
    "WEBP-RGB-lossless", "BMP-RGB", "TIFF-F", "TIFF-CMYK", "TIFF-RGB-compression",
)


def status(field):
    return int(re.search(field + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10


def measure(name, kind, picture, wanted):
    decode(read_outline(encoded(noise(64, 48), kind), 1 << 26), wanted)  # libraries take what they need once
    data = encoded(picture, kind)
    release_free_memory()
    before = status("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins here
    outline = read_outline(data, 1 << 26)
    decode(outline, wanted)
    print(name, status("VmHWM") - before, outline.memory >> 20)


for kind in {kind.name: kind for kind in KINDS if kind.name in COSTLY}.values():
    measure(kind.name, kind, gradient(2000, 1500), cropped(224))
stretched = replace(cropped(224), stretches=True)
measure("high", Kind("RGB", "PNG"), gradient(8, 400_000), stretched)
measure("wide", Kind("RGB", "PNG"), gradient(60_000, 50), stretched)
"""


def test_decoding_stays_within_what_is_reserved():
    result = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True)
    assert result.stderr == ""
    lines = [line.split() for line in result.stdout.splitlines()]
    assert len(lines) == 14
    assert [name for name, used, reserved in lines if int(used) > int(reserved) + SLACK_MB] == []
