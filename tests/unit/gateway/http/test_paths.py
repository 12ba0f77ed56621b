"""The ingest paths, and which of them a wrong path meant."""

from __future__ import annotations

import json
import re

import pytest

from gateway.http.paths import INGEST_PATHS, how_to_send, meant_path, without_extra_slashes
from gateway.ingest.envelope import parse_envelope
from gateway.ingest.validate import validate_items


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [("/v1/batch/", "/v1/batch"), ("//v1//batch//", "/v1/batch"), ("/v1/batch", "/v1/batch"), ("//", "/"), ("", "/")],
)
def test_extra_slashes_are_removed(path: str, cleaned: str) -> None:
    assert without_extra_slashes(path) == cleaned


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/Event/Batch", "/event/batch"),
        ("/V1/Track/", "/v1/track"),
        ("/v1/batch/v1/batch", "/v1/batch"),
        ("/event/batch/v1/import", "/v1/import"),
        ("/v1/v1/b", "/v1/b"),
        ("/api/v1/identify", "/v1/identify"),
        ("/v2/batches", "/event/batch"),
        ("/v1/tracks", "/v1/track"),
        ("/track.php", "/v1/track"),
        ("/", None),
        ("/x/b", None),
        ("/wp-login.php", None),
        ("/x" * 4000 + "/v1/batch", None),
    ],
)
def test_similar_path_is_found(path: str, meant: str | None) -> None:
    assert meant_path(path, INGEST_PATHS) == meant


@pytest.mark.parametrize("path", [path for path, kind in INGEST_PATHS.items() if kind in {None, "track", "identify"}])
def test_form_that_a_message_shows_is_accepted(path: str) -> None:
    shown = re.findall(r"`([^`]+)`", how_to_send(path))
    envelope = parse_envelope(shown[-1].encode(), item_type=INGEST_PATHS[path])
    result = validate_items(envelope, project_id="dev", received_at=1_800_000_000_000_000)

    assert shown[0] == f"POST {path}"
    assert len(result.accepted) == 1
    assert json.loads(shown[-1])
