"""Bytes from base64, as clients send it: with a data URL's prefix or without, in one line or in several."""

from __future__ import annotations

import binascii
import re

from runtime.images.refusals import NotBase64

DATA_URL = re.compile(r"data:([^,]{0,200}?)(;base64)?,", re.IGNORECASE)

FRAGMENT = 64
"""Characters. White space is looked for in a string's beginning and end first, since base64 is broken everywhere."""


def decode_base64(text: str) -> bytes:
    """Raises ``NotBase64``. Takes the standard alphabet with its padding; white space anywhere does not count."""
    text = text.lstrip()
    if text[:5].lower() == "data:":
        text = _payload(text)
    if any(character.isspace() for character in (text[:FRAGMENT] + text[-FRAGMENT:])) or "\n" in text or " " in text:
        text = "".join(text.split())
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise NotBase64(str(error).lower()) from None
    except ValueError:
        raise NotBase64("a character is not ASCII") from None


def _payload(url: str) -> str:
    """What follows the prefix of a data URL."""
    prefix = DATA_URL.match(url)
    if prefix is None or prefix[2] is None:
        raise NotBase64("a data URL must begin with data:, its type, and ;base64,")
    return url[prefix.end() :]
