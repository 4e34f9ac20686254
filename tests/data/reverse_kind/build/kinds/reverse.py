"""Builds bundles of models that reverse texts."""

from __future__ import annotations

import http.client
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sections.reverse import ReverseModel

from build.bundle.staging import Staging
from build.errors import VerificationFailed
from build.fidelity.runtime_process import serve
from build.fidelity.seal import Verified
from build.fidelity.thresholds import ThresholdOverrides
from build.kinds import Weights
from build.model.files import CONFIG, ModelFiles
from build.model.json_files import read_object
from build.model.trust import Trust
from build.precisions import PrecisionSpec
from build.progress import Progress
from manifest import CONFIG_FILE, Fidelity, Golden, GoldenRequest, Manifest, Precision, Target, Tolerance

STAGES = ("package",)
PRECISIONS = (Precision.FP32,)
THRESHOLDS = ()
WORDS = ("", "hello", "日本語")


def recognizes(directory: Path) -> bool:
    return read_object(directory, CONFIG).get("model_type") == "reverse"


def describe(files: ModelFiles, trust: Trust) -> ReverseBuild:
    return ReverseBuild(files, read_object(files.directory, CONFIG)["max_characters"])


@dataclass(frozen=True)
class ReverseBuild:
    files: ModelFiles
    max_characters: int
    weights = Weights(stored=0, fp32=0)
    licence = None

    def assemble(self, spec: PrecisionSpec, target: Target, staging: Staging, progress: Progress) -> AssembledReverse:
        with progress.stage("package", self.files.model):
            shutil.copyfile(self.files.directory / CONFIG, staging.bundle / CONFIG_FILE)
        return AssembledReverse(ReverseModel(self.max_characters))


@dataclass(frozen=True)
class AssembledReverse:
    section: ReverseModel

    @property
    def summary(self) -> tuple[tuple[str, str], ...]:
        return (("longest", f"{self.section.max_characters} characters"),)

    def verify(self, bundle: Path, manifest: Manifest, thresholds: ThresholdOverrides, bars: bool) -> Verified:
        expected = [GoldenRequest("/reverse", {"text": word}, {"text": word[::-1]}, Tolerance()) for word in WORDS]
        with serve(bundle) as client:
            connection = http.client.HTTPConnection(urlsplit(client.address).netloc)
            for request in expected:
                connection.request("POST", request.route, json.dumps(request.body))
                if json.loads(connection.getresponse().read()) != request.answer:
                    raise VerificationFailed(f"{request.body} is not reversed")
            connection.close()
        return Verified(Fidelity(), Golden(tuple(expected)), report="{}\n", page="<!DOCTYPE html>\n", summary=())
