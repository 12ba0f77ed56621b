"""Checks for secrets (`make lint`) and known vulnerabilities (`make test`).

`python -m tests.support.inspection secrets` looks for secrets in the files of the repository, and `… vulnerabilities`
looks up the locked packages. Each exits with 1 when it finds one. When the vulnerability database is unreachable, it
says so and exits with 0: a merge must not depend on another party's server.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
LOCKS = (
    *("requirements.lock", "deploy/docker/build.lock", "tests/sdk/python/requirements.lock"),
    *("tests/tools/python/requirements.lock", "tests/tools/superset/requirements.lock", "tests/chart/tools.lock"),
)
"""The lock files that together pin every package; `deploy/docker/runtime.lock` is part of the first."""
AUDIT = ("-m", "pip_audit", "--require-hashes", "--disable-pip", "--format=json", "--progress-spinner=off")
AUDIT_TIMEOUT_SECONDS = 300

EXAMPLES = r"^schemas/examples/"
"""Their messageIds look like keys."""
NOT_SECRET = (
    *("do-not-tell", "s3cret", "sesame", "value", "a:b/c", "a%3Ab%2Fc"),
    *("se@s/a#me", "se%40me", "p%3A%2F", "secret", "password", "mine", "hers", "servers", "of-the-analyst"),
    *("writers-secret", "analysts-secret", "servers-secret", "servers-analysts-secret", "kafkas-secret"),
    *("gateway-tls", "events-tls", "console-tls", "tls.key", "client.key"),
    *("mavens-secret", "secret-of-{}", "an-old-write-key", "seq_dev_old-0123456789", "other-sesame", "analyst"),
    *("e95bff70ccbe39729cdf2c6cd41b9a84", "28f7cad5952fae546b6b70ce3799523e", "d8922fdf62f96fb350e28b4932b7fbfc"),
)
"""Texts that look like secrets: passwords and tokens of tests, names, messageIds."""


def read_report(report: dict[str, Any]) -> tuple[list[str], int]:
    """Return a line for each vulnerability in pip-audit's *report*, and how many packages it did not look up."""
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'none'}"
        for package in report["dependencies"]
        for found in package.get("vulns", [])
    ]
    return lines, sum("skip_reason" in package for package in report["dependencies"])


def audit(locks: Iterable[str] = LOCKS) -> int:
    """Print the known vulnerabilities of the locked packages and return their number."""
    total = 0
    for lock in locks:
        command = [sys.executable, *AUDIT, "--requirement", str(ROOT / lock)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_TIMEOUT_SECONDS, check=False)
            lines, skipped = read_report(json.loads(done.stdout))
        except (subprocess.TimeoutExpired, ValueError, KeyError):
            print(f"{lock}: NOT audited, the vulnerability database is unreachable")
            continue
        incomplete = f"; {skipped} packages NOT audited, the database has no data on them" if skipped else ""
        print("\n".join([f"{lock}: {len(lines)} known vulnerabilities{incomplete}", *lines]))
        total += len(lines)
    return total


def files(root: Path = ROOT) -> list[str]:
    """Return the files of the repository at *root*; without git, the files of the directory."""
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
    """Print what looks like a secret in the files *names* and return 1 when there is one."""
    allowed = "|".join(re.escape(text) for text in NOT_SECRET)
    command = [str(Path(sys.executable).with_name("detect-secrets-hook")), "--exclude-files", EXAMPLES]
    return subprocess.run([*command, "--exclude-secrets", f"^({allowed})$", *names], cwd=root, check=False).returncode


def main() -> int:
    """Run the check that the command line names and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.inspection")
    parser.add_argument("check", choices=["secrets", "vulnerabilities"])
    found = scan(files()) if parser.parse_args().check == "secrets" else audit()
    return int(found > 0)


if __name__ == "__main__":
    raise SystemExit(main())
