"""The process that serves, as gunicorn knows it: its signals, and its exit status."""

from __future__ import annotations

import signal
import sys

from gunicorn.workers.base import Worker as GunicornWorker

from runtime.host.garbage import resume_collections
from runtime.server.master import EXIT_FAILED


class Worker(GunicornWorker):
    """Serves until SIGTERM, then drains. SIGINT is the master's: a terminal sends it to all."""

    def init_signals(self) -> None:
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH):
            signal.signal(number, signal.SIG_IGN)
        # NOTE: while the model loads, there is no event loop yet that could drain.
        signal.signal(signal.SIGTERM, self.handle_exit)

    def run(self) -> None:
        """Serve, and end the process with its status: 3 if it cannot serve, or had to cut requests off."""
        resume_collections()
        is_well = self.app.serve(self.wsgi, self.sockets, self.app.seat, must_end=lambda: not self.alive)
        sys.exit(0 if is_well else EXIT_FAILED)
