"""Files that say more than they have: small ones that would take much memory or time to read."""

from __future__ import annotations

import struct
import zlib

from tests.support.images.pictures import Kind, encoded, noise


def png_chunk(type: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + type + data + struct.pack(">I", zlib.crc32(type + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG of 8-bit RGB that has these chunks behind its header."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *chunks, png_chunk(b"IEND")])


def png_with(chunk: bytes, times: int = 1) -> bytes:
    """A good PNG with a chunk between its header and its pixels."""
    good = encoded(noise(9, 9), Kind("RGB", "PNG"))
    return good[:33] + chunk * times + good[33:]


def jpeg_header(width: int, height: int, segments: bytes = b"") -> bytes:
    """A JPEG up to its first scan, with segments in front of its frame."""
    frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\1\x11\0\2\x11\0\3\x11\0"
    scan = b"\xff\xda\0\x0c\3\1\0\2\0\3\0\0\x3f\0"
    return b"\xff\xd8" + segments + b"\xff\xc0" + frame + scan + bytes(64) + b"\xff\xd9"


def jpeg_with_segment(segment: bytes, times: int = 1) -> bytes:
    """A good JPEG with a segment in front of all others."""
    good = encoded(noise(9, 9), Kind("RGB", "JPEG"))
    return good[:2] + segment * times + good[2:]


def jpeg_with_scans(scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    good = encoded(noise(9, 9), Kind("RGB", "JPEG", {"progressive": True}))
    last = good[good.rindex(b"\xff\xda") : -2]
    return good[:-2] + last * (scans - good.count(b"\xff\xda")) + good[-2:]


def gif(width: int, height: int, before: bytes, frame_width: int, frame_height: int) -> bytes:
    """A GIF with blocks in front of its only frame, which has no data to speak of."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, frame_width, frame_height, 0) + b"\2\2\x4c\1\0"
    return screen + before + frame + b"\x3b"


def gif_comment(blocks: int) -> bytes:
    return b"\x21\xfe" + (b"\xff" + bytes(255)) * blocks + b"\0"


def webp_canvas(width: int, height: int) -> bytes:
    """A WebP of the extended kind with a canvas and nothing on it."""
    canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + canvas
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def bmp(width: int, height: int, compression: int = 0, data: bytes = b"") -> bytes:
    """A BMP of 8 bits a pixel with a grey palette."""
    palette = b"".join(bytes([value, value, value, 0]) for value in range(256))
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, len(data), 0, 0, 256, 0)
    begin = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", begin + len(data), 0, 0, begin) + info + palette + data


SHORT, LONG = 3, 4


def tiff(entries: list[tuple[int, int, int, int]], after: bytes = b"", large: bool = False) -> bytes:
    """A TIFF with one directory of (tag, type, count, value), and what follows it."""
    if large:
        listed = b"".join(struct.pack("<HHQQ", *entry) for entry in entries)
        return struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) + struct.pack("<Q", len(entries)) + listed + bytes(8) + after
    listed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(entries)) + listed + bytes(4) + after


def tiff_grey(width: int, height: int, *more: tuple[int, int, int, int], large: bool = False) -> bytes:
    """A TIFF of 8-bit grey pixels, all black, with more entries."""
    entries = [
        (256, LONG, 1, width),
        (257, LONG, 1, height),
        (258, SHORT, 1, 8),
        (259, SHORT, 1, 1),
        (262, SHORT, 1, 1),
        (277, SHORT, 1, 1),
        (278, LONG, 1, height),
        (279, LONG, 1, width * height),
    ]
    entries += [*more, (273, LONG, 1, 0)]
    begin = len(tiff(entries, large=large))
    entries[-1] = (273, LONG, 1, begin)
    return tiff(sorted(entries), bytes(min(width * height, 4096)), large)
