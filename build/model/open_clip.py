"""Refuses repositories in open_clip's own format, and names those that hold the same model in transformers'."""

from __future__ import annotations

from collections.abc import Collection

from build.errors import UnsupportedModel
from build.model.files import CONFIG

FILES = ("open_clip_config.json", "open_clip_pytorch_model.bin", "open_clip_model.safetensors")
"""Any of them marks such a repository, which may have transformers' files as well."""

SAME_MODELS = {
    "timm/vit_base_patch16_clip_224.openai": "openai/clip-vit-base-patch16",
    "timm/vit_base_patch32_clip_224.openai": "openai/clip-vit-base-patch32",
    "timm/vit_large_patch14_clip_224.openai": "openai/clip-vit-large-patch14",
    "timm/vit_large_patch14_clip_336.openai": "openai/clip-vit-large-patch14-336",
    "timm/ViT-B-16-SigLIP": "google/siglip-base-patch16-224",
    "timm/ViT-B-16-SigLIP-256": "google/siglip-base-patch16-256",
    "timm/ViT-B-16-SigLIP-384": "google/siglip-base-patch16-384",
    "timm/ViT-B-16-SigLIP-512": "google/siglip-base-patch16-512",
    "timm/ViT-B-16-SigLIP-i18n-256": "google/siglip-base-patch16-256-multilingual",
    "timm/ViT-L-16-SigLIP-256": "google/siglip-large-patch16-256",
    "timm/ViT-L-16-SigLIP-384": "google/siglip-large-patch16-384",
    "timm/ViT-SO400M-14-SigLIP-384": "google/siglip-so400m-patch14-384",
    "timm/ViT-SO400M-16-SigLIP-i18n-256": "google/siglip-so400m-patch16-256-i18n",
    "timm/ViT-B-16-SigLIP2": "google/siglip2-base-patch16-224",
    "timm/ViT-B-16-SigLIP2-256": "google/siglip2-base-patch16-256",
    "timm/ViT-B-16-SigLIP2-384": "google/siglip2-base-patch16-384",
    "timm/ViT-B-16-SigLIP2-512": "google/siglip2-base-patch16-512",
    "timm/ViT-B-32-SigLIP2-256": "google/siglip2-base-patch32-256",
    "timm/ViT-L-16-SigLIP2-256": "google/siglip2-large-patch16-256",
    "timm/ViT-L-16-SigLIP2-384": "google/siglip2-large-patch16-384",
    "timm/ViT-L-16-SigLIP2-512": "google/siglip2-large-patch16-512",
    "timm/ViT-SO400M-16-SigLIP2-256": "google/siglip2-so400m-patch16-256",
    "timm/ViT-SO400M-16-SigLIP2-384": "google/siglip2-so400m-patch16-384",
    "timm/ViT-SO400M-16-SigLIP2-512": "google/siglip2-so400m-patch16-512",
}
"""By open_clip's repository, the one with the same weights in transformers' format."""

_SAME_MODELS = {name.lower(): same for name, same in SAME_MODELS.items()}


def refuse_open_clip(model: str, names: Collection[str], readable: bool) -> None:
    """Raise ``UnsupportedModel`` where files are such that open_clip alone reads them.

    ``names``: of the files at the top. ``readable``: whether one of them is what another library begins with.
    """
    if not set(FILES) & set(names):
        return
    # NOTE: a config beside well-known ones is that of the library timm.
    if same := _SAME_MODELS.get(model.lower()):
        raise UnsupportedModel(f"{model} is in open_clip's format: take {same}, the same model in transformers' format")
    if not readable:
        raise UnsupportedModel(
            f"{model} is in open_clip's format: take a repository that has the same model in transformers' format, "
            f"with a {CONFIG} that has a model_type"
        )
