"""Says how to try a server once it is ready. ``make serve`` starts it beside the server, with which it ends.

It is run as a script with the standard library alone, so that it costs little.
"""

import http.client
import os
import sys
import time

READY = "/.well-known/ready"
INTERVAL = 0.2
"""Seconds between two looks at the server."""


def announce(server: int, port: int, message: str) -> None:
    """Print the message as soon as the process ``server``, which started this one, is ready on ``port``."""
    while os.getppid() == server:
        if is_ready(port):
            print(message, flush=True)
            return
        time.sleep(INTERVAL)


def is_ready(port: int) -> bool:
    """Whether a server on this machine reports that it is ready."""
    connection = http.client.HTTPConnection("localhost", port, timeout=5)
    try:
        connection.request("GET", READY)
        return connection.getresponse().status == http.HTTPStatus.NO_CONTENT
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    announce(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
