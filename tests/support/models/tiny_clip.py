"""Makes tiny random CLIP models in the layouts of the real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.json_files import write
from tests.support.models.tiny_description import Dense, TinyModel
from tests.support.models.tiny_models import copy
from tests.support.models.tiny_tokenizers import CHARACTERS, TOKENIZERS, WORDS

SIDE = 32
"""Of the images that the network reads."""

DIM = 24
START, END = "<|startoftext|>", "<|endoftext|>"
LIMIT = 20
"""Tokens of a text, as the real ones have 77."""


def clip_tokenizer(directory: Path) -> Any:
    """CLIP's tokenizer: bytes, with a mark behind the last of a word, and a merge for each of a few words."""
    from transformers import CLIPTokenizerFast
    from transformers.models.clip.tokenization_clip import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges = []
    for word in WORDS.split():
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            merge = (pieces[-2], pieces[-1])
            pieces[-2:] = ["".join(merge)]
            if merge not in merges:
                merges.append(merge)
                vocabulary.append(pieces[-1])
    vocabulary = list(dict.fromkeys([*vocabulary, START, END]))
    write(directory / "vocab.json", {token: index for index, token in enumerate(vocabulary)})
    write(directory / "merges.txt", "#version: 0.2\n" + "\n".join(map(" ".join, merges)) + "\n")
    return CLIPTokenizerFast(
        vocab_file=str(directory / "vocab.json"),
        merges_file=str(directory / "merges.txt"),
        model_max_length=LIMIT,
    )


def make_network(directory: Path, seed: int = 0, **vision: Any) -> Path:
    """A model in transformers' layout, as openai's and LAION's repositories have it."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = clip_tokenizer(directory)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": LIMIT,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    image = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": SIDE,
        "patch_size": 8,
        **vision,
    }
    torch.manual_seed(seed)
    network = CLIPModel(CLIPConfig(text_config=text, vision_config=image, projection_dim=DIM))
    network.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(
        directory
    )
    return directory


def make_metaclip(directory: Path) -> Path:
    """MetaCLIP 2: other classes, and a tokenizer whose end is the token 2."""
    import torch
    from transformers import CLIPImageProcessor
    from transformers.models.metaclip_2 import MetaClip2Config, MetaClip2Model

    directory.mkdir(parents=True)
    tokenizer = TOKENIZERS["xlm-roberta"](directory)
    tokenizer.model_max_length = LIMIT
    layers = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_act": "gelu"}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "max_position_embeddings": LIMIT,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        **layers,
    }
    image = {"hidden_size": 48, "intermediate_size": 96, "image_size": SIDE, "patch_size": 8, **layers}
    torch.manual_seed(2)
    network = MetaClip2Model(MetaClip2Config(text_config=text, vision_config=image, projection_dim=DIM))
    network.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(
        directory
    )
    return directory


def siglip_tokenizer(directory: Path) -> Any:
    """SigLIP's: sentencepiece, from which transformers takes punctuation and capitals away."""
    from sentencepiece import SentencePieceTrainer
    from transformers import SiglipTokenizer

    SentencePieceTrainer.train(
        sentence_iterator=iter([WORDS, *WORDS.split(), CHARACTERS, " ".join(CHARACTERS)] * 3),
        model_prefix=str(directory / "spiece"),
        vocab_size=260,
        hard_vocab_limit=False,
        character_coverage=1.0,
        pad_id=-1,
        bos_id=-1,
        eos_id=1,
        unk_id=2,
        control_symbols=["<pad>"],
        minloglevel=2,
    )
    (directory / "spiece.vocab").unlink()
    return SiglipTokenizer(str(directory / "spiece.model"), model_max_length=LIMIT, model_input_names=["input_ids"])


def siglip_2_tokenizer(directory: Path) -> Any:
    """SigLIP 2's: Gemma's, with a token at the end and none at the start."""
    tokenizer = TOKENIZERS["gemma"](directory)
    tokenizer.add_bos_token, tokenizer.add_eos_token = False, True
    tokenizer.update_post_processor()
    return tokenizer


def make_siglip(
    directory: Path, tokenizer_in: Callable[[Path], Any] = siglip_tokenizer, resample: Any = 3, **vision: Any
) -> Path:
    """SigLIP: texts are padded to the limit, images stretched, and vectors left as they are."""
    import torch
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    directory.mkdir(parents=True)
    tokenizer = tokenizer_in(directory)
    layers = {"hidden_size": DIM, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": LIMIT, **layers}
    image = {"image_size": SIDE, "patch_size": 8, **layers, **vision}
    torch.manual_seed(3)
    SiglipModel(SiglipConfig(text_config=text, vision_config=image)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    SiglipImageProcessor(size={"height": SIDE, "width": SIDE}, resample=resample).save_pretrained(directory)
    return directory


def make_siglip_2(directory: Path) -> Path:
    """SigLIP 2 with images of one size: another tokenizer, and another filter."""
    return make_siglip(directory, siglip_2_tokenizer, resample=2)


TEXTS_ALONE = TinyModel(
    "tiny-texts",
    "distilbert",
    "cased distilbert",
    "DistilBertModel",
    layers=(Dense(DIM, bias=False, activation="Identity"),),
)
"""A text model beside a CLIP model, as clip-ViT-B-32-multilingual-v1 is one."""


def make_pair(directory: Path) -> Path:
    """Two models in their own folders, ``texts`` and ``images``, as the multilingual pair is."""
    directory.mkdir(parents=True)
    copy(TEXTS_ALONE, directory / "texts")
    make_sentence_model(directory / "images")
    return directory


def make_sentence_model(directory: Path, seed: int = 0) -> Path:
    """A model in sentence-transformers' layout, as clip-ViT-B-32 has it."""
    make_network(directory / "0_CLIPModel", seed)
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    write(directory / "modules.json", [module])
    write(directory / "config_sentence_transformers.json", {"__version__": {"sentence_transformers": "2.2.2"}})
    return directory
