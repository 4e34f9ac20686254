"""Decodes and resizes: the only module that imports Pillow, and where its errors are translated."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import Image, Resampling, fromarray
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from runtime.images.enlarge import enlarge
from runtime.images.formats import bmp, gif, jpeg, png, tiff, webp
from runtime.images.geometry import Span, square_of
from runtime.images.outline import Outline
from runtime.images.refusals import BadImage, Broken, Truncated
from sections.pixels import PixelInput, Resample

# NOTE: Pillow warns of oddities in words that can be the sender's.
warnings.filterwarnings("ignore", module=r"PIL\.")

TOO_SHORT = ("truncated", "Truncated", "not enough image data")
"""What Pillow says of a file that ends too early."""

# NOTE: each class is called by itself: Pillow's own choice among all its formats would ask the others as well.
OPENERS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    bmp.NAME: BmpImageFile,
    gif.NAME: GifImageFile,
    jpeg.NAME: JpegImageFile,
    png.NAME: PngImageFile,
    tiff.NAME: TiffImageFile,
    webp.NAME: WebPImageFile,
}


FILTERS = {Resample.BICUBIC: Resampling.BICUBIC, Resample.BILINEAR: Resampling.BILINEAR}


def decode(outline: Outline, wanted: PixelInput) -> NDArray[np.uint8]:
    """The first picture in RGB, (side, side, 3), resized and cropped as ``wanted`` says.

    Takes ``outline.memory`` at most. Raises ``BadImage``.
    """
    picture = _load(outline)
    # NOTE: a picture's size may differ from its outline's: a TIFF may say that it is to be turned.
    square = square_of(*picture.size, wanted)
    columns, rows = square
    rgb = _to_rgb(_cut(picture, columns.read, rows.read))
    del picture
    filter = FILTERS[wanted.resample]
    if square.rows_first:
        return np.asarray(_resize_columns(_resize_rows(rgb, rows, filter), columns, filter))
    return np.asarray(_resize_rows(_resize_columns(rgb, columns, filter), rows, filter))


def _load(outline: Outline) -> Image:
    try:
        return _opened(outline)
    except (BadImage, MemoryError):
        raise
    except Exception as error:  # NOTE: Pillow raises OSError, SyntaxError, ValueError and more for broken files.
        refusal = _refusal(outline.format, error)
    # NOTE: raised only here, because Pillow's error refers to the picture, and would keep its memory.
    raise refusal


def _opened(outline: Outline) -> ImageFile:
    file = OPENERS[outline.format](io.BytesIO(outline.data))
    if sorted(file.size) != sorted((outline.width, outline.height)):
        raise Broken(outline.format, "its parts do not agree on its size")
    file.load()
    return file


def _refusal(format: str, error: Exception) -> BadImage:
    sentence = str(error).split("\n", 1)[0]
    if any(words in sentence for words in TOO_SHORT) or isinstance(error, EOFError):
        return Truncated(format)
    return Broken(format, sentence or type(error).__name__)


def _cut(picture: Image, columns: range, rows: range) -> Image:
    box = (columns.start, rows.start, columns.stop, rows.stop)
    return picture if box == (0, 0, *picture.size) else picture.crop(box)


def _to_rgb(picture: Image) -> Image:
    if picture.mode == "RGB":
        return picture
    # NOTE: else Pillow would look for a color that stands for it. Transparency is dropped, as the original does.
    picture.info.pop("transparency", None)
    return picture.convert("RGB")


def _resize_columns(picture: Image, span: Span, filter: Resampling) -> Image:
    if not span.is_whole:
        return fromarray(enlarge(np.asarray(picture).swapaxes(0, 1), span).swapaxes(0, 1))
    resized = picture.resize((span.resized, picture.height), filter)
    return resized.crop((span.offset, 0, span.offset + span.kept, picture.height))


def _resize_rows(picture: Image, span: Span, filter: Resampling) -> Image:
    if not span.is_whole:
        return fromarray(enlarge(np.asarray(picture), span))
    resized = picture.resize((picture.width, span.resized), filter)
    return resized.crop((0, span.offset, picture.width, span.offset + span.kept))
