"""Statements in forms, which drivers send if the parameters are too long for a URL: embedded server."""

from __future__ import annotations

import clickhouse_connect
import pytest

from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.services import Service

FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture
def client(server: Service) -> ClickHouseHttp:
    return ClickHouseHttp(server.address)


def form(*parts: str) -> bytes:
    """Return a form of *parts* without the beginning of their `Content-Disposition`."""
    fields = "".join(f"--x\r\nContent-Disposition: form-data; {part}\r\n" for part in parts)
    return f"{fields}--x--\r\n".encode()


@pytest.mark.parametrize("has_statement", [True, False], ids=["statement in the form", "statement in the URL"])
def test_parameters_in_a_form_are_those_of_the_statement(client: ClickHouseHttp, *, has_statement: bool) -> None:
    statement = "SELECT lengthUTF8({a:String})"
    parameter = 'name="param_a"\r\n\r\n' + "ü'" * 40_000
    if has_statement:
        reply = client.send(form(f'name="query"\r\n\r\n{statement}', parameter), headers=FORM)
    else:
        reply = client.send(form(parameter), query=statement, headers=FORM)
    assert reply.text == "80000\n"


def test_driver_sends_many_parameters(server: Service) -> None:
    with clickhouse_connect.get_client(dsn=server.address) as client:
        many = [f"user-{number}" for number in range(5_000)]
        assert client.query("SELECT length({ids:Array(String)})", parameters={"ids": many}).result_rows == [(5_000,)]


def test_external_table_is_rejected(client: ClickHouseHttp) -> None:
    table = form('name="t"; filename="t.tsv"\r\n\r\n1')
    assert client.send(table, query="SELECT 1", headers=FORM).code == 48


@pytest.mark.parametrize("content_type", [FORM["Content-Type"], "multipart/form-data"])
def test_form_that_cannot_be_read_is_rejected(client: ClickHouseHttp, content_type: str) -> None:
    reply = client.send(b"no form", query="SELECT 1", headers={"Content-Type": content_type})
    assert (reply.status, reply.code) == (400, 36)


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Authorization": "Basic eDp5"}])
def test_form_of_a_page_or_a_stranger_is_rejected(client: ClickHouseHttp, headers: dict[str, str]) -> None:
    reply = client.send(form('name="query"\r\n\r\nSELECT 1'), headers={**FORM, **headers})
    assert reply.code in {497, 516}
