"""A CLIP model of a real size that nobody has trained: times depend on its shape and on tokens, not on weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.environment import ENVIRONMENTS
from bench.load.texts import words
from build.model.files import ModelFiles, content_hash, files_below, wanted_files
from build.model.trust import NO_TRUST
from build.progress import silence_libraries
from manifest import Source, SourceKind

MODELS = ENVIRONMENTS / "bench-models"
NAME = "clip-ViT-B-32"

SEED = 7
TOKENS = 49_408
"""The size of the original's vocabulary. The rows of tokens that this tokenizer does not have are never read."""

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"

MODULE = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
VERSIONS = {"__version__": {"sentence_transformers": "2.2.2"}}


def vit_b_32() -> ModelFiles:
    """The shape of clip-ViT-B-32 in sentence-transformers' layout, made the first time."""
    directory, unfinished = MODELS / f"{NAME}-random", MODELS / f"{NAME}-random.unfinished"
    if not directory.is_dir():
        unfinished.mkdir(parents=True, exist_ok=True)
        with silence_libraries():
            write_clip(unfinished)
        unfinished.rename(directory)
    names = wanted_files(files_below(directory), NO_TRUST)
    return ModelFiles(f"{NAME}-random", Source(SourceKind.DIRECTORY, content_hash(directory, names)), directory)


def engines_folder(model: ModelFiles) -> Path:
    """Where what engines load of the model is kept."""
    folder = MODELS / f"{model.directory.name}-engines"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_clip(
    directory: Path, text: Mapping[str, Any] | None = None, image: Mapping[str, Any] | None = None, **sizes: Any
) -> None:
    """Write the files of a model to a directory. The same weights each time.

    ``text``, ``image`` and ``sizes`` replace what transformers takes by default, which is the shape of ViT-B-32.
    """
    # PERF: imported here because torch takes seconds to load, and a wrong option should be reported at once.
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    folder = directory / str(MODULE["path"])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = write_tokenizer(folder)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(
        text_config={"vocab_size": TOKENS, **ends, **(text or {})}, vision_config=dict(image or {}), **sizes
    )
    torch.manual_seed(SEED)
    CLIPModel(config).save_pretrained(folder)
    side = config.vision_config.image_size
    CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}).save_pretrained(folder)
    (directory / "modules.json").write_text(json.dumps([MODULE]))
    (directory / "config_sentence_transformers.json").write_text(json.dumps(VERSIONS))


def write_tokenizer(folder: Path) -> Any:
    """CLIP's tokenizer with merges for the words of the loads in place of its own: each of them is one token."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer
    from transformers import CLIPTokenizerFast
    from transformers.models.clip.tokenization_clip import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    trained = Tokenizer(BPE(end_of_word_suffix=WORD_END))
    trainer = BpeTrainer(vocab_size=TOKENS, min_frequency=1, show_progress=False, end_of_word_suffix=WORD_END)
    trained.train_from_iterator(map(str.lower, words()), trainer)
    model = json.loads(trained.to_str())["model"]
    ends = [f"{letter}{WORD_END}" for letter in letters]
    tokens = dict.fromkeys([*letters, *ends, *sorted(model["vocab"], key=model["vocab"].get), START, END])
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    merges = [" ".join(merge) for merge in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    tokenizer = CLIPTokenizerFast(
        vocab_file=str(folder / "vocab.json"), merges_file=str(folder / "merges.txt"), model_max_length=77
    )
    tokenizer.save_pretrained(folder)
    return tokenizer
