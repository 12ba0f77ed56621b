"""`THIRD-PARTY.md` lists what is locked, and every package of the image brings the text of its licence."""

from __future__ import annotations

import re
from importlib import metadata

from packaging.requirements import Requirement
from piplicenses_lib import get_package_info

from deploy.embedded.kafka_jars import listed
from tests.support.containers import instructions, services
from tests.support.documents import ROOT, Page
from tests.support.third_party import COMMAND, PAGE, declared_licence, packages_of_the_image, requirements

NOTICES = Page(PAGE)
VENDORED = ROOT / "deploy" / "console" / "static" / "vendor"
UPDATE = f"Run {COMMAND}"


def installed(requirement: Requirement) -> bool:
    return metadata.version(requirement.name) in requirement.specifier


def test_every_locked_package_is_listed_with_its_version() -> None:
    expected = [[one.name, str(one.specifier).removeprefix("==")] for one in requirements()]

    assert [row[:2] for row in NOTICES.rows("Python packages")] == expected, UPDATE


def test_licence_of_each_package_is_the_one_that_it_declares() -> None:
    shown = {(row[0], row[1]): row[-1] for row in NOTICES.rows("Python packages")}
    found = {
        (one.name, metadata.version(one.name)): declared_licence(one.name) for one in requirements() if installed(one)
    }

    assert len(found) > 50
    assert {package: shown[package] for package in found} == found, UPDATE
    assert "UNKNOWN" not in found.values()


def test_only_the_packages_outside_the_image_have_the_extra() -> None:
    without = {row[0] for row in NOTICES.rows("Python packages") if not row[2]}

    assert without == packages_of_the_image() - {"colorama"}, UPDATE  # Windows alone needs it


def test_every_jar_is_listed_with_a_licence() -> None:
    rows = NOTICES.rows("Kafka")

    assert sorted(f"{name}:{version}" for name, version, _ in rows) == sorted(jar.coordinate for jar in listed()), (
        UPDATE
    )
    assert [row for row in rows if row[2] in {"", "none declared"}] == []


def test_every_container_image_is_listed() -> None:
    images = {service["image"].partition(":")[0] for service in services().values()} - {"sequence-events"}
    base = {re.split("[: ]", value)[0] for value in instructions("FROM")}

    assert set(NOTICES.names("Container images")) >= images | base


def test_every_vendored_library_has_its_licence_and_is_named_on_the_page() -> None:
    folders = [path for path in VENDORED.iterdir() if path.is_dir()]

    assert [path.name for path in folders if not (path / "LICENSE").is_file()] == []
    assert [path.name for path in folders if path.relative_to(ROOT).as_posix() not in NOTICES.text] == []


def test_every_package_of_the_image_has_the_text_of_its_licence() -> None:
    without = [
        name
        for name in packages_of_the_image() - {"colorama"}
        if not get_package_info(metadata.distribution(name)).licenses
    ]

    assert [name for name in without if f"## Licence of {name}\n" not in NOTICES.text] == []
