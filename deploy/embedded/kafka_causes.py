"""Why Kafka's process ended, in one sentence found in its output. Pure.

Kafka logs a fatal error several times, each with a stack of causes; the Java runtime writes its own without a level.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.failure import Cause, shortened, with_remedy


@dataclass(frozen=True, slots=True)
class Known:
    """A cause that the output shows by a *sign*; `{0}` in the sentence is what its first group matches."""

    sign: str
    sentence: str
    permanent: bool = True
    """Whether another start fails as well."""


_KNOWN = (
    Known(
        r"Socket server failed to bind to (\S+): (.+?)\.?$",
        "Kafka cannot listen on {0}: {1}. Stop the process that uses the port, or set SEQUENCE_LOCAL_KAFKA_PORT.",
        permanent=False,
    ),
    Known(
        r"Failed to acquire lock on file .lock in (.+?)\. A Kafka",
        "Another Kafka process uses {0}. Stop it, or set SEQUENCE_STATE_DIR.",
        permanent=False,
    ),
    Known(
        r"No space left on device",
        "The disk of Kafka's data is full. Free disk space, or set SEQUENCE_STATE_DIR to another disk.",
    ),
    Known(r"Too many open files", "Kafka reached the limit of open files. Raise it: ulimit -n."),
    Known(
        r"Found directory (.+?), '.*' is not in the form", "{0} is not a directory of Kafka. Move it to another place."
    ),
    Known(
        r"Unknown meta.properties version|No MetadataVersion with|not a registered feature level|Unknown metadata.vers",
        "Kafka's data was written by another version of Kafka. Run the version of this program that wrote it, or set "
        "SEQUENCE_STATE_DIR to an empty directory.",
    ),
    Known(
        r"Stored node id \d+ doesn't match|Stored cluster id \S+ doesn't match|Invalid cluster.id in",
        "Kafka's data belongs to another broker. Restore it, or set SEQUENCE_STATE_DIR to an empty directory.",
    ),
    Known(
        r"Could not find or load main class|ClassNotFoundException|NoClassDefFoundError|[Ee]rror (?:in )?opening zip",
        "Kafka's jar files are damaged or cannot be read. Delete them in the directory of SEQUENCE_CACHE_DIR, by "
        "default ~/.cache/sequence. The next start downloads them.",
    ),
    Known(
        r"Could not (?:reserve enough|allocate)|[Ii]nsufficient memory for the Java|OutOfMemoryError"
        r"|Out of Memory Error|pthread_create failed",
        "Java has too little memory for Kafka, which needs 1 GiB. Free memory, or raise the limit of the process or "
        "of the container.",
    ),
    Known(
        r"AccessDeniedException: (.+?)(?: \(|$)",
        "Kafka cannot access {0}. Check the owner of the file, or set SEQUENCE_STATE_DIR.",
    ),
)

_EXCEPTION = re.compile(r"(?:Caused by: )?(?:[\w$]+\.)+[\w$]*(?:Exception|Error): (.+)")
_ERROR = re.compile(r"\S+ (?:ERROR|FATAL) [\w$]+: (.+)")


def kafka_cause(lines: Sequence[str]) -> Cause | None:
    """Return the cause in Kafka's output *lines*: a known one, or the text of the last exception or error."""
    lines = [text for line in lines for text in _as_text(line)]
    for known in _KNOWN:
        for line in lines:
            if (found := re.search(known.sign, line)) is not None:
                return Cause(shortened(known.sentence.format(*found.groups())), known.permanent)
    for pattern in (_EXCEPTION, _ERROR):
        texts = [found[1] for line in lines if (found := pattern.match(line)) is not None]
        if texts:
            return Cause(shortened(with_remedy(texts[-1])))
    return None


def _as_text(line: str) -> list[str]:
    """Return *line* as the text log has it: a line of the JSON log has a stack in a field."""
    try:
        event = json.loads(line)
        text = f"{event['time']} {event['level'].upper()} {event['logger']}: {event['message']}"
        return [text, *event["exception"].splitlines()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return [line]
