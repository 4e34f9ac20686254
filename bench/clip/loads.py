"""The loads of models of texts and images: Weaviate sends each object on its own, with a text or an image."""

from __future__ import annotations

from bench.load.loads import Group, Load
from bench.load.modules import Module
from bench.load.texts import SHORT, Length

IMAGE = Length("jpeg", 1, 1, "a JPEG of 640 × 480")
PHOTO = Length("photo", 1, 1, "a JPEG of 12 megapixels")

MAX_WORDS_PER_SECOND = 30_000


def _texts(in_flight: int, group: Group) -> Load:
    module, most = Module.MULTI2VEC_CLIP_TEXT, MAX_WORDS_PER_SECOND
    return Load(SHORT, in_flight, group, max_words_per_second=most, module=module)


def _images(in_flight: int, group: Group) -> Load:
    return Load(IMAGE, in_flight, group, times=2, module=Module.MULTI2VEC_CLIP_IMAGE, requests=600)


def _photos(in_flight: int, group: Group) -> Load:
    return Load(PHOTO, in_flight, group, times=2, module=Module.MULTI2VEC_CLIP_PHOTO, requests=40)


CLIP_LOADS = tuple(
    load
    for group in (Group.KEPT, Group.WEAVIATE)
    for load in (
        *(_texts(in_flight, group) for in_flight in (1, 8, 32)),
        *(_images(in_flight, group) for in_flight in (1, 8, 32)),
        *(_photos(in_flight, group) for in_flight in (1, 8)),
    )
)
"""The times are for a container that answers a dozen images a second; what is faster ends sooner."""
