"""The queues of live streams: bounded, and nothing is skipped silently."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from deploy.console.access import Viewer
from deploy.console.errors import BusyError
from deploy.console.items import Item, Verdict
from deploy.console.live import QUEUE_BYTES, QUEUE_ITEMS, Live, LiveItem, Stream, matches
from deploy.console.metrics import ConsoleMetrics
from deploy.console.search_sql import Match
from deploy.console.tail import Arrivals

VIEWER = Viewer("digest", "operate", None)


class Idle:
    """A reader without records."""

    async def run(self) -> None:
        await asyncio.Event().wait()


def item(
    message_id: str = "m", *, project: str = "dev", verdict: Verdict = "accepted", content: str = "{}"
) -> LiveItem:
    return LiveItem(
        Item(
            received_at="2026-01-31T12:00:00.000000Z",
            project_id=project,
            verdict=verdict,
            type="track",
            event="Order Completed",
            user_id="ada",
            message_id=message_id,
            content=msgspec.Raw(content.encode()),
        )
    )


def ids(stream: Stream) -> list[str | None]:
    return [each.item.message_id for each in stream.take(QUEUE_ITEMS)]


def test_full_queue_drops_its_oldest_items_and_counts_them() -> None:
    stream = Stream(VIEWER, Match())
    dropped = sum(stream.offer(item(str(number))) for number in range(QUEUE_ITEMS + 5))

    assert dropped == 5
    assert json.loads(stream.take_skipped() or "") == {"count": 5, "isEstimate": False}
    assert ids(stream) == [str(number) for number in range(5, QUEUE_ITEMS + 5)]
    assert stream.take_skipped() is None


def test_queue_has_a_limit_of_bytes() -> None:
    stream = Stream(VIEWER, Match())
    size = len(item(content=json.dumps("x" * 30_000)).text)
    for number in range(150):
        stream.offer(item(str(number), content=json.dumps("x" * 30_000)))

    assert stream.waiting <= QUEUE_BYTES // size + 1
    assert json.loads(stream.take_skipped() or "")["count"] == 150 - stream.waiting
    taken = stream.take(QUEUE_ITEMS)
    assert taken[-1].item.message_id == "149"
    stream.offer(item("small"))
    assert stream.waiting == 1


def test_skipped_records_are_exact_without_a_filter_and_estimated_with_one() -> None:
    everything, some, rare = (Stream(VIEWER, match) for match in (Match(), Match("dev"), Match(user_id="nobody")))
    for stream in (everything, some, rare):
        for number in range(100):
            stream.offer(item(project="dev" if number % 4 == 0 else "other"))
        stream.report("{}", 100)
        stream.report("{}", 0)
        stream.take(QUEUE_ITEMS)
        stream.skip(1000)

    assert json.loads(everything.take_skipped() or "") == {"count": 1000, "isEstimate": False}
    estimate = json.loads(some.take_skipped() or "")
    assert estimate["isEstimate"]
    assert 100 <= estimate["count"] <= 250
    assert json.loads(rare.take_skipped() or "") == {"count": 1, "isEstimate": True}


@pytest.mark.parametrize(
    ("match", "is_shown"),
    [
        (Match(), True),
        (Match("dev", "ada", "Order Completed", "accepted", "PRICE"), True),
        (Match("other"), False),
        (Match(user_id="bob"), False),
        (Match(event="Order"), False),
        (Match(verdict="rejected"), False),
        (Match(search='"price":42'), True),
        (Match(search="ÄRGER"), True),
        (Match(search="missing"), False),
    ],
)
def test_every_part_of_a_filter_applies(match: Match, is_shown: object) -> None:
    content = '{"price": 42, "note": "\\u00e4rger"}'

    assert matches(match, item(content=content)) is is_shown


def test_content_that_is_no_json_is_searched_as_it_is() -> None:
    assert matches(Match(search="broken"), item(content='"{BROKEN"'))


def test_project_of_the_arrivals_has_its_share_of_what_was_skipped() -> None:
    arrivals = Arrivals()
    for number in range(100):
        arrivals.add("accepted", "dev" if number < 25 else "other")
    arrivals.skipped["accepted"] = 300

    assert arrivals.count("accepted", None) == 400
    assert arrivals.count("accepted", "dev") == 100
    assert arrivals.count("accepted", "nobody") == arrivals.count("rejected", "dev") == 0
    assert arrivals.total == 100


async def test_stream_beyond_the_limit_is_refused_until_one_is_closed() -> None:
    live = Live(2, ConsoleMetrics(), lambda _: Idle())
    first = live.open(VIEWER, Match())
    live.open(VIEWER, Match())
    with pytest.raises(BusyError, match="SEQUENCE_CONSOLE_LIVE_STREAMS") as refused:
        live.open(VIEWER, Match())
    assert (refused.value.status, refused.value.code) == (503, "too_many_streams")

    live.close(first)
    live.close(first)
    live.open(VIEWER, Match())


async def test_item_and_rates_reach_the_streams_of_their_project() -> None:
    live = Live(9, ConsoleMetrics(), lambda _: Idle())
    dev, everything = live.open(VIEWER, Match("dev")), live.open(VIEWER, Match())
    other = live.open(VIEWER, Match("other"))
    assert [live.wants(project) for project in ("dev", "third")] == [True, True]
    live.close(everything)
    assert [live.wants(project) for project in ("dev", "third")] == [True, False]

    live.show(item().item)
    arrivals = Arrivals()
    arrivals.add("accepted", "dev")
    live.report(arrivals, 0.5)

    assert (dev.waiting, other.waiting) == (1, 0)
    assert [json.loads(stream.rates or "")["accepted"] for stream in (dev, other)] == [2.0, 0.0]


async def test_streams_are_told_once_that_kafka_is_not_read() -> None:
    live = Live(5, ConsoleMetrics(), lambda _: Idle())
    stream = live.open(VIEWER, Match())
    live.read(None)
    assert stream.source is None
    live.read("Kafka does not answer.")
    late = live.open(VIEWER, Match())
    for each in (stream, late):
        assert json.loads(each.source or "") == {"isRead": False, "message": "Kafka does not answer."}
        each.source = None
    live.read("Kafka does not answer.")
    assert stream.source is None
    live.read(None)
    assert json.loads(late.source or "") == {"isRead": True, "message": None}
    for each in (stream, late):
        live.close(each)
