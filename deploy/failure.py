"""Why a service ended, in one sentence found in its output. Pure.

Every process of the pipeline writes the reason as its last line: `Error: …`, or a line of level CRITICAL as text or as
JSON. An exception that escaped before the log was configured ends with the last line of its traceback.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

_LONGEST_CAUSE = 600
"""Characters of a cause that are shown; the log has the rest."""
_ADVICE = re.compile(r"SEQUENCE_\w+|pip install|\bCheck ")
_STACK = ", Stack trace"
"""ClickHouse's engine appends its stack to an error."""
_WARNING = re.compile(r"\S+ (?:WARN|WARNING|ERROR|FATAL|CRITICAL) [\w.$]+: (.*)")
_TIMED = re.compile(r"\d{4}-\d\d-\d\dT\S+ (DEBUG|INFO|WARNING|ERROR|CRITICAL) [\w.]+: (.*)")
_EXIT_PREFIX = re.compile(r"^[a-z ]+, exiting(?: with code \d+ \([^)]*\))?: ")
_EXCEPTION = re.compile(r"(?:\w+\.)*(\w*(?:Error|Exception|Interrupt|Exit)): (.+)")
KILLED = "Another process killed it, or the system did for lack of memory."
_REMEDIES = {
    "No space left on device": "Free disk space, or set SEQUENCE_STATE_DIR to another disk.",
    "Too many open files": "Raise the limit of open files: ulimit -n.",
    "Read-only file system": "Set SEQUENCE_STATE_DIR to a writable directory.",
    "Permission denied": "Check the owner of the file, or set SEQUENCE_STATE_DIR to a directory of your own.",
    "address already in use": "Stop the process that uses the port, or set another port.",
    "Cannot allocate memory": "Free memory, or stop other programs.",
    "No module named": "Install the package again: pip install 'sequence-events[local]'",
    "cannot import name": "Install the package again: pip install 'sequence-events[local]'",
}
"""What to do about an error of the system whose message does not say it."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a process ended."""

    text: str
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """How a process ended that should run."""

    ending: str
    """In words: `exited with code 1`."""
    exit_code: int | None = None
    """None if it could not be started."""
    cause: Cause | None = None

    @property
    def is_final(self) -> bool:
        """Whether a restart does not help: a setting is invalid, or a person must act."""
        return self.exit_code in {2, os.EX_CONFIG} or (self.cause is not None and self.cause.permanent)

    @property
    def reason(self) -> str:
        """The cause as a sentence; empty if the process gave none."""
        if self.cause is not None:
            return self.cause.text
        return KILLED if self.exit_code in {-signal.SIGKILL, 128 + signal.SIGKILL} else ""


def python_cause(lines: Sequence[str]) -> Cause | None:
    """Return the cause that a process of the pipeline wrote in *lines*, None if there is none."""
    written = [line for line in lines if line.strip()]
    for number in range(len(written) - 1, -1, -1):
        if (text := _fatal(written, number)) is not None:
            return Cause(shortened(with_remedy(text)))
    # An exception earlier in the output did not end the process.
    if written and (exception := _EXCEPTION.fullmatch(written[-1])) is not None:
        return Cause(shortened(with_remedy(f"{exception[1]}: {exception[2]}")))
    return None


def last_warning(lines: Sequence[str]) -> Cause | None:
    """Return the text of the last line at WARNING or above: what a process that still runs is waiting for."""
    texts = [text for line in lines if (text := _warning(line)) is not None]
    return Cause(shortened(with_remedy(texts[-1]))) if texts else None


def with_remedy(text: str) -> str:
    """Return *text* as sentences, with what to do about an error of the system."""
    text = text.strip()
    ended = text if text.endswith((".", ")", "]")) else f"{text}."
    remedy = next((remedy for sign, remedy in _REMEDIES.items() if sign in text), "")
    known = not remedy or remedy in text or _ADVICE.search(text)
    return ended if known else f"{ended} {remedy}"


def shortened(text: str) -> str:
    """Return *text* in one line, without its end if it is very long."""
    line = " ".join(text.partition(_STACK)[0].split())
    return line if len(line) <= _LONGEST_CAUSE else f"{line[:_LONGEST_CAUSE]} …"


def _fatal(lines: Sequence[str], number: int) -> str | None:
    """Return the reason that begins at line *number*, None if none does."""
    line = lines[number]
    if line.startswith("Error: "):
        return " ".join([line.removeprefix("Error: "), *_until_next_event(lines[number + 1 :])])
    if (timed := _TIMED.match(line)) is not None:
        if timed[1] != "CRITICAL":
            return None
        # The reason of a fatal error may have several lines; a traceback begins below it.
        return " ".join([_EXIT_PREFIX.sub("", timed[2]), *_until_next_event(lines[number + 1 :])])
    if line.startswith("{"):
        return _fatal_json(line)
    return None


def _until_next_event(lines: Sequence[str]) -> list[str]:
    found = []
    for line in lines:
        if _TIMED.match(line) or line.startswith(("{", "Traceback ")):
            break
        found.append(line)
    return found


def _fatal_json(line: str) -> str | None:
    level, message = _event(line)
    return _EXIT_PREFIX.sub("", message) if level == "critical" else None


def _warning(line: str) -> str | None:
    if line.startswith("{"):
        level, message = _event(line)
        return message if level in {"warn", "warning", "error", "fatal", "critical"} else None
    return None if (found := _WARNING.match(line)) is None else found[1]


def _event(line: str) -> tuple[str, str]:
    """Return level and message of a line of JSON, empty if it is another."""
    try:
        event = json.loads(line)
        return str(event["level"]).lower(), str(event["message"])
    except (ValueError, KeyError, TypeError):
        return "", ""
