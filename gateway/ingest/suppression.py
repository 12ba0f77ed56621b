"""Rejects items of suppressed users, before anything of them is stored.

A rejection says the code alone. Content that breaks a rule is searched for user IDs, because it would be stored.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import msgspec

from gateway.ingest.rejections import Code, RejectedItem
from gateway.ingest.validate import BatchResult
from schemas.erasure import user_digest
from schemas.user_ids import user_ids_in


def without_suppressed(result: BatchResult, suppressed: AbstractSet[bytes], hash_key: bytes) -> BatchResult:
    """Return *result* with the items of users whose `user_digest` is in *suppressed* rejected, without content."""
    known: dict[str, bool] = {}

    def is_suppressed(user_id: str) -> bool:
        if (found := known.get(user_id)) is None:
            found = known[user_id] = user_digest(hash_key, user_id) in suppressed
        return found

    rejected = [
        _suppressed(item.index) if any(map(is_suppressed, user_ids_in(item.content))) else item
        for item in result.rejected
    ]
    pairs = list(zip(result.accepted_indexes, result.accepted, strict=True))
    kept = [(index, item) for index, item in pairs if not is_suppressed(item.user_id)]
    if len(kept) == len(pairs):
        return msgspec.structs.replace(result, rejected=rejected) if rejected else result
    rejected += [_suppressed(index) for index, item in pairs if is_suppressed(item.user_id)]
    return msgspec.structs.replace(
        result,
        accepted=[item for _, item in kept],
        accepted_indexes=[index for index, _ in kept],
        rejected=sorted(rejected, key=lambda item: item.index),
    )


def _suppressed(index: int) -> RejectedItem:
    return RejectedItem(index, Code.SUPPRESSED, Code.SUPPRESSED.message, None, None, b"")
