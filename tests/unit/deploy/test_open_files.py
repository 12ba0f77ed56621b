"""The limit of open files is raised in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from deploy.open_files import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("soft", "hard", "raised"), [(64, 1024, 1024), (256, 256, 256), (1024, 1024, 1024)])
def test_soft_limit_is_raised_to_the_hard_limit(soft: int, hard: int, raised: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(soft), str(hard)], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.split() == [str(raised), str(raised), str(hard)]
