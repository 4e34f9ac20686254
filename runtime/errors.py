"""Defines what can go wrong while serving: one tree, which ``error_handlers.py`` maps to status codes.

ServingError
├── InvalidRequest     the caller's fault, a Refusal; the message names the field and the limit
├── UnknownModel       the request names another model
├── BodyTooLarge       more bytes than the server accepts
├── BodyTimeout        the caller stopped sending
├── MalformedRequest   what arrived is not HTTP; the connection is closed
├── UnsupportedVersion another version of HTTP
├── Unauthorized       no valid bearer token
├── Unavailable        draining, or not ready: another try may succeed
└── InferenceFailed    onnxruntime or the model failed; details go to the log alone
SettingsError          an environment variable that stops the start
PortUnavailable        the port is in use, or not allowed
GoldenMismatch         this machine does not give the vectors that the build saw
"""

from __future__ import annotations

from manifest import BundleError


class Refusal(Exception):
    """Base of what is wrong with what a caller sent, wherever that is found."""

    def forget_frames(self) -> None:
        """Let go of the frames that it came through, and thereby of what was sent: nobody reads where it was found."""
        self.__traceback__ = self.__context__ = self.__cause__ = None


class ServingError(Exception):
    """Base of what a request can run into; the message is a sentence for the caller."""


class InvalidRequest(ServingError, Refusal):
    pass


class UnknownModel(ServingError):
    pass


class BodyTooLarge(ServingError):
    @classmethod
    def beyond(cls, max_bytes: int) -> BodyTooLarge:
        """With the sentence that names the limit."""
        return cls(f"the body is larger than {max_bytes} bytes, the limit of this server (MAX_BODY_BYTES)")


class MalformedRequest(ServingError):
    pass


class UnsupportedVersion(ServingError):
    pass


class BodyTimeout(ServingError):
    pass


class Unauthorized(ServingError):
    pass


class Unavailable(ServingError):
    @classmethod
    def not_begun(cls, seconds: float) -> Unavailable:
        """With the sentence that names the deadline."""
        return cls(f"the request was not begun within {seconds:g} seconds (REQUEST_TIMEOUT)")


class InferenceFailed(ServingError):
    pass


class SettingsError(Exception):
    """Raised at start; the message names the variable and what it accepts."""


class GoldenMismatch(Exception):
    """Raised at start; the message names the text and its cosine."""


class PortUnavailable(Exception):
    """Raised at start; the message names the port and what to do."""


SENTENCES = (ServingError, SettingsError, GoldenMismatch, PortUnavailable, BundleError)
"""Errors whose message says all that its reader needs."""


def describe(error: BaseException) -> str:
    """The message, with the type of an error that nobody foresaw in front of it."""
    return str(error) if isinstance(error, SENTENCES) else f"{type(error).__name__}: {error}"
