"""Defines what can stop a build: one tree; each message is one line that says what to do.

BuildError
├── ModelNotFound          no such model, revision or directory
├── AccessDenied           gated or private: a token is needed
├── HubUnreachable         no network, or offline and not in the cache
├── DamagedDownload        a file is not what the hub says
├── UnsupportedModel       an architecture, module, mode or key that this build cannot reproduce
├── RemoteCodeNeeded       the model brings code, and nobody said to trust it
├── OutputExists           the output is there already, and must not be replaced or nobody said to replace it
├── OutputNotAllowed       the output is, contains or is inside the model's directory
├── OutOfDisk              the file system is full, or too small for the work ahead
├── InsufficientResources  too little memory for the work ahead
├── SetupIncomplete        an environment is missing
├── VerificationFailed     the bundle does not serve
├── FidelityTooLow         its vectors are too far from the original's
├── NoTexts                a file of texts cannot be read, or holds too few
├── ContainerUnreachable   no address, no connection, or no answer in time
├── ContainerRefused       a container answers a request for a vector with an error
└── NoVector               a container answers with something else than a vector of the usual length
"""

from __future__ import annotations


class BuildError(Exception):
    """One line: what a model's files or a library put into the message cannot break it or steer a terminal."""

    def __init__(self, message: str) -> None:
        super().__init__("".join(letter if letter.isprintable() else "?" for letter in message))


class ModelNotFound(BuildError):
    pass


class AccessDenied(BuildError):
    pass


class HubUnreachable(BuildError):
    pass


class DamagedDownload(BuildError):
    pass


class UnsupportedModel(BuildError):
    pass


class RemoteCodeNeeded(BuildError):
    pass


class OutputExists(BuildError):
    pass


class OutputNotAllowed(BuildError):
    pass


class OutOfDisk(BuildError):
    pass


class InsufficientResources(BuildError):
    pass


class SetupIncomplete(BuildError):
    pass


class VerificationFailed(BuildError):
    pass


class FidelityTooLow(BuildError):
    pass


class NoTexts(BuildError):
    pass


class ContainerUnreachable(BuildError):
    pass


class ContainerRefused(BuildError):
    pass


class NoVector(BuildError):
    pass


def first_line(error: Exception) -> str:
    """What a library says went wrong, without what it says below that, and the name of its exception."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
    return f"{line} ({type(error).__name__})"
