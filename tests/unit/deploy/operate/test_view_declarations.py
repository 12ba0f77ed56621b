"""The file of `sequence views apply`: what it declares, and what is wrong with it."""

from __future__ import annotations

import pytest

from deploy.errors import ArgumentError
from deploy.operate.view_declarations import Change, changes, parse

FILE = """
[projects.shop.events."Order Completed"]
price = "Decimal(18,2)"
"address.zip" = "text"

[projects.shop.events."Signed Up"]
timestamp = "time"

[projects.shop.traits]
birthday = "date"

[projects.shop.events_with_person]
plan = "text"

[projects.other]
"""


def test_types_are_declared_by_view_and_column() -> None:
    assert parse(FILE) == {
        "shop": {
            "order_completed": {"price": "decimal(18, 2)", "address_zip": "text"},
            "signed_up": {"property_timestamp": "time"},
            "users": {"birthday": "date"},
            "events_with_person": {"plan": "text"},
        },
        "other": {},
    }


def test_file_is_complete_for_the_projects_that_it_names() -> None:
    before = {"order_completed": {"price": "float", "coupon": "text"}}
    assert changes(before, parse(FILE)["shop"]) == [
        Change("events_with_person", "plan", None, "text"),
        Change("order_completed", "address_zip", None, "text"),
        Change("order_completed", "coupon", "text", None),
        Change("order_completed", "price", "float", "decimal(18, 2)"),
        Change("signed_up", "property_timestamp", None, "time"),
        Change("users", "birthday", None, "date"),
    ]
    assert changes(before, before) == []


def test_events_with_one_view_declare_its_columns_together() -> None:
    text = '[projects.p.events.orderDone]\na = "text"\n[projects.p.events."Order Done"]\nb = "date"\nA = "text"\n'
    assert parse(text) == {"p": {"order_done": {"a": "text", "b": "date"}}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[projects", "The file is not TOML: "),
        ('[project.shop.traits]\na = "text"', "the file: project is unknown. Known: projects."),
        ("[projects.shop.event.a]", "projects.shop: event is unknown. Known: events, events_with_person, traits."),
        (
            "[projects.shop.events_with_person]\n" + "\n".join(f't{number} = "text"' for number in range(21)),
            "projects.shop.events_with_person has 21 traits; at most 20.",
        ),
        ("[projects.'a b']", "projects.a b: a project ID has 1-64 letters, digits, `_` or `-`."),
        ("projects = 7", "the file: `projects` must be a table"),
        ('[projects.shop]\nevents = "x"', "projects.shop: `events` must be a table"),
        ('[projects.shop.events."A"]\nprice = "money"', "projects.shop.events.\"A\".price: 'money' is no type."),
        ('[projects.shop.events."A"]\naddress.zip = "text"', 'projects.shop.events."A".address: the type must be text'),
        ('[projects.shop.traits]\na = "text"\nA = "date"', "the column a has two types, text and date."),
    ],
)
def test_mistake_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ArgumentError) as error:
        parse(text)
    assert message in str(error.value)
