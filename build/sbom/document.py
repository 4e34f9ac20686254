"""Writes what is in an image as a CycloneDX document, which is checked against CycloneDX' own schema."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from build.errors import BuildError
from build.sbom.contents import Contents, Package

DIGEST = "sha256:"


def write_document(tag: str, image_id: str, architecture: str, contents: Contents) -> str:
    """The document of an image, as JSON. Of the same image it differs in its time alone.

    ``image_id``: the digest of the image's configuration. Raises ``BuildError`` for a document that is not valid.
    """
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, image_id))
    bom.metadata.component = Component(
        type=ComponentType.CONTAINER,
        name=tag,
        version=image_id,
        bom_ref="image",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=image_id.removeprefix(DIGEST))],
    )
    components = list(_components(architecture, contents))
    for component in components:
        bom.components.add(component)
    bom.register_dependency(bom.metadata.component, components)
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    if (fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        raise BuildError(f"the document does not follow CycloneDX' schema: {fault}")
    return text


def _components(architecture: str, contents: Contents) -> Iterator[Component]:
    own = Package("cpu2vec", contents.version, "Apache-2.0")
    yield _component(own, PackageURL("generic", None, own.name, own.version), ComponentType.APPLICATION)
    for package in contents.python:
        yield _component(package, PackageURL("pypi", None, package.name.lower().replace("_", "-"), package.version))
    for package in contents.debian:
        qualifiers = {"arch": architecture, "distro": contents.distribution}
        yield _component(package, PackageURL("deb", "debian", package.name, package.version, qualifiers))
    if contents.model is not None:
        yield _component(contents.model, None, ComponentType.MACHINE_LEARNING_MODEL)


def _component(package: Package, url: PackageURL | None, kind: ComponentType = ComponentType.LIBRARY) -> Component:
    licences = [LicenseFactory().make_from_string(package.licence)] if package.licence else []
    reference = str(url or f"model:{package.name}@{package.version}")
    return Component(
        type=kind, name=package.name, version=package.version, purl=url, bom_ref=reference, licenses=licences
    )
