"""Keeps a process from AMX, which a program must request from the kernel: a seccomp filter refuses the request."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
AMX_FLAG = "amx_tile"

AUDIT_ARCH_X86_64 = 0xC000003E
SYS_ARCH_PRCTL = 158
ARCH_REQ_XCOMP_PERM = 0x1023

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
"""These are offsets in ``struct seccomp_data``; the lower half of the argument comes first."""

PROGRAM = (
    (LOAD_WORD, 0, 0, ARCHITECTURE),
    (JUMP_IF_EQUAL, 0, 5, AUDIT_ARCH_X86_64),
    (LOAD_WORD, 0, 0, NUMBER),
    (JUMP_IF_EQUAL, 0, 3, SYS_ARCH_PRCTL),
    (LOAD_WORD, 0, 0, FIRST_ARGUMENT),
    (JUMP_IF_EQUAL, 0, 1, ARCH_REQ_XCOMP_PERM),
    (RETURN, 0, 0, REFUSE),
    (RETURN, 0, 0, ALLOW),
)
"""Each instruction is a ``struct sock_filter``: code, how many to skip if true and if false, operand."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def has_amx() -> bool:
    return platform.machine() == "x86_64" and f" {AMX_FLAG} " in CPUINFO.read_text().replace("\n", " ")


def deny_amx() -> None:
    """Deny AMX to this thread and all that it starts. Does nothing where the CPU has no AMX. Raises ``OSError``."""
    if has_amx():
        refuse_permission()


def refuse_permission() -> None:
    """Let the kernel answer EPERM to a request for AMX's registers; for x86-64 only. Raises ``OSError``."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in PROGRAM)
    program = _Program(len(PROGRAM), code)
    libc = ctypes.CDLL(None, use_errno=True)
    _prctl(libc, PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))
    _prctl(libc, PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(program))


def _prctl(libc: ctypes.CDLL, option: int, *arguments: object) -> None:
    rest = [ctypes.c_ulong(0)] * (4 - len(arguments))
    if libc.prctl(option, *arguments, *rest) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
