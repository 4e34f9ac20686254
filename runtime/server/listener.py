"""Opens the listening socket, before anything that takes time, so that a port in use is reported at once."""

from __future__ import annotations

import errno
import socket

from runtime.errors import PortUnavailable

BACKLOG = 4096
"""Connections that wait while a worker starts, or is busy. The kernel lowers it to net.core.somaxconn."""


def listen(port: int) -> socket.socket:
    """Listen on all interfaces: on IPv6, which takes IPv4 as well, where there is IPv6. Raises ``PortUnavailable``."""
    has_ipv6 = _has_ipv6()
    family, address = (socket.AF_INET6, "::") if has_ipv6 else (socket.AF_INET, "0.0.0.0")
    try:
        # NOTE: it sets SO_REUSEADDR, so that connections of an earlier server that still linger do not matter.
        listener = socket.create_server((address, port), family=family, backlog=BACKLOG, dualstack_ipv6=has_ipv6)
    except OSError as error:
        raise PortUnavailable(reason(port, error)) from None
    listener.setblocking(False)
    return listener


def reason(port: int, error: OSError) -> str:
    """One sentence on why the port cannot be listened on, with what to do about it."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is already in use: stop what listens there, or set PORT to another port"
    if error.errno == errno.EACCES:
        return f"port {port} is not allowed for this user: set PORT to a port from 1024 on"
    return f"port {port} cannot be listened on: {error.strerror}"


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True):
            return True
    except (OSError, ValueError):
        return False
