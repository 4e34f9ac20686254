"""The server's command line takes no arguments, and its parts know each other."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from manifest import SCHEMA, Golden, Kind, Manifest, Precision, Source, SourceKind, Target
from runtime.bundle import Bundle
from runtime.host.capacity import Capacity
from runtime.http.scoreboard import Scoreboard
from runtime.kinds import Model
from runtime.main import make_service
from runtime.scheduling.lone_jobs import LoneJobs
from runtime.settings import read_settings
from tests.support.bundles.text_models import a_text_model
from tests.support.paths import ROOT
from tests.support.scheduling import at_once, running


@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("-h", 0), ("--port", 2)])
def test_arguments_are_answered_with_the_list_of_settings(argument: str, status: int):
    command = [sys.executable, "-W", "error", "-m", "runtime", argument]
    result = subprocess.run(command, cwd=ROOT, env={"PATH": os.defpath}, capture_output=True, text=True)
    shown, other = (result.stdout, result.stderr) if status == 0 else (result.stderr, result.stdout)
    assert (result.returncode, other) == (status, "")
    assert shown.startswith("cpu2vec is configured by environment variables and takes no arguments:\n  BUNDLE_DIR ")


def test_what_decides_where_lone_texts_run_is_told_of_all_requests_of_its_worker():
    manifest = Manifest(
        schema=SCHEMA,
        version="1.2.3",
        model="org/model",
        source=Source(SourceKind.HUB, "c0ffee"),
        licence=None,
        kind=Kind.TEXT,
        target=Target.AMD64,
        precision=Precision.INT8,
        files={},
        tools={},
        fidelity=None,
        section=a_text_model(),
    )
    bundle, seat = Bundle(ROOT, manifest, Golden(()), {}), Scoreboard(1).seat(0)
    lone, scheduler = LoneJobs(len), running(at_once(lambda item, cores: item))
    model = Model({}, {}, {}, scheduler, lone=lone)
    make_service(read_settings({}), bundle, Capacity(1, 1 << 30), lambda cores: model, seat, lambda: None)
    seat.figures.requests = 3
    assert lone.requests() == 3
    scheduler.stop()
