"""What `make lint` looks for beside style and types: known weaknesses of what is locked, secrets in the repository.

`python -m tests.support.inspection` returns 1 where it finds one. Where the data on weaknesses cannot be had, behind a mirror
or without a network, it says so and goes on: the build must not hang on somebody else's server.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
LOCKS = ("requirements.lock", "deploy/docker/build.lock", "tests/sdk/python/requirements.lock")
"""Together they hold everything; the image's own is part of the first."""
AUDIT = ("-m", "pip_audit", "--require-hashes", "--disable-pip", "--format=json", "--progress-spinner=off")
LONGEST_AUDIT_SECONDS = 300

EXAMPLES = r"^schemas/examples/"
"""Their messageIds look like keys."""
MADE_UP = (
    *("do-not-tell", "s3cret", "sesame", "value", "a:b/c", "a%3Ab%2Fc"),
    "analyst",
    "e95bff70ccbe39729cdf2c6cd41b9a84",
)
"""What looks like a secret and is none: passwords of tests, a name, a messageId."""


def verdict(report: dict[str, Any]) -> tuple[list[str], int]:
    """Return a line for each known weakness in pip-audit's *report*, and how many packages it could not look up."""
    weak = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'none'}"
        for package in report["dependencies"]
        for found in package.get("vulns", [])
    ]
    return weak, sum("skip_reason" in package for package in report["dependencies"])


def audit(locks: Iterable[str] = LOCKS) -> int:
    """Print the known weaknesses of what is locked and return how many there are."""
    found = 0
    for lock in locks:
        command = [sys.executable, *AUDIT, "--requirement", str(ROOT / lock)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_AUDIT_SECONDS, check=False)
            weak, unknown = verdict(json.loads(done.stdout))
        except (subprocess.TimeoutExpired, ValueError, KeyError):
            print(f"{lock}: NOT audited, the data on weaknesses cannot be had here")
            continue
        left_out = f"; {unknown} packages NOT audited, there is no data on them here" if unknown else ""
        print("\n".join([f"{lock}: {len(weak)} known weaknesses{left_out}", *weak]))
        found += len(weak)
    return found


def files(root: Path = ROOT) -> list[str]:
    """Return the files of the repository, or of the directory where that is none."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        return [name for name in listed.stdout.rstrip("\0").split("\0") if (root / name).is_file()]
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return [str(path) for path in found if not any(part.startswith(".") for part in path.parts)]


def scan(names: Iterable[str], root: Path = ROOT) -> int:
    """Print what looks like a secret in the files *names* and return 1 where something does."""
    exact = "|".join(re.escape(text) for text in MADE_UP)
    command = [str(Path(sys.executable).with_name("detect-secrets-hook")), "--exclude-files", EXAMPLES]
    return subprocess.run([*command, "--exclude-secrets", f"^({exact})$", *names], cwd=root, check=False).returncode


if __name__ == "__main__":
    secrets, weaknesses = scan(files()), audit()
    raise SystemExit(int(secrets + weaknesses > 0))
