"""The tree of errors that stop a build. Each message is one line that says what to do.

BuildError
├── ModelNotFound          there is no such model, revision or directory
├── AccessDenied           the model is gated or private: a token is needed
├── HubUnreachable         there is no network, or the build is offline and the model is not in the cache
├── DamagedDownload        a file is not what the hub says
├── UnsupportedModel       this build cannot reproduce an architecture, module, mode or key
├── RemoteCodeNeeded       the model comes with code, which nobody allowed it to run
├── OutputExists           the output exists, and may not be replaced
├── OutputNotAllowed       the output is the model's directory, contains it or is inside it
├── OutOfDisk              the file system is full, or too small for the build
├── InsufficientResources  there is too little memory for the build
├── SetupIncomplete        an environment is missing
├── VerificationFailed     the runtime does not serve the bundle
├── FidelityTooLow         the bundle's vectors are too far from the original's
├── NoTexts                a file of texts cannot be read, or has too few
├── ContainerFailed        a container does not answer a request with a vector or scores
│   ├── ContainerUnreachable   the address is wrong, the connection failed, or there was no answer in time
│   ├── ContainerRefused       the answer is an error
│   ├── NoVector               the answer is something other than a vector of the usual length
│   └── NoScores               the answer is something other than one score for each document, in order
├── DockerFailed           there is no Docker engine, or a docker command failed
├── CompilerFailed         there is no compiler for the native kernels, or it failed
└── InvalidOption          an option or a variable of the environment has a value that cannot be used
"""

from __future__ import annotations


class BuildError(Exception):
    """An error whose message is one line: text from a model or a library can neither break it nor steer a terminal."""

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


class NoImages(BuildError):
    pass


class ContainerFailed(BuildError):
    pass


class ContainerUnreachable(ContainerFailed):
    pass


class ContainerRefused(ContainerFailed):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NoVector(ContainerFailed):
    pass


class NoScores(ContainerFailed):
    pass


class DockerFailed(BuildError):
    pass


class CompilerFailed(BuildError):
    pass


class InvalidOption(BuildError):
    pass


def first_line(error: Exception) -> str:
    """The first line of a library's message, and the name of its exception."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
    return f"{line} ({type(error).__name__})"
