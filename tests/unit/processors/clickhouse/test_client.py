"""Translation of the driver's errors, and the server's clock."""

from __future__ import annotations

import ssl
from importlib import import_module
from socket import gaierror

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, ProgrammingError

from processors.clickhouse.client import DEADLINE_PASSED, ClickHouse, _translated_errors, server_url
from processors.clickhouse.codes import FaultKind
from processors.clickhouse.errors import (
    CertificateError,
    ClickHouseError,
    LostAnswerError,
    RejectedRowsError,
    TooLateError,
    UnavailableError,
)
from schemas.settings import ClickHouseSettings, SettingsError

# The driver's HTTP client, which the product does not import.
ConnectTimeoutError: type[Exception] = import_module("urllib3.exceptions").ConnectTimeoutError


def translated(error: Exception) -> ClickHouseError:
    with pytest.raises(ClickHouseError) as raised, _translated_errors("http://ch:8123", "ann"):
        raise error
    assert raised.value.__cause__ is error
    return raised.value


@pytest.mark.parametrize(
    "error",
    [
        DatabaseError("too many parts", code=252),
        DatabaseError("memory limit exceeded", code=241),
        DatabaseError("timeout exceeded", code=159),
        DatabaseError("too many simultaneous queries", code=202),
        DatabaseError("socket timeout", code=209),
    ],
    ids=str,
)
def test_temporary_failures_are_unavailable(error: Exception) -> None:
    assert type(translated(error)) is UnavailableError


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("Error Unexpected Http Driver Exception"),
        OSError("connection reset"),
        TimeoutError("timed out"),
        DatabaseError("HTTP driver received HTTP status 502"),
    ],
    ids=str,
)
def test_statement_without_an_answer_may_have_been_executed(error: Exception) -> None:
    assert type(translated(error)) is LostAnswerError


@pytest.mark.parametrize("cause", [ConnectionRefusedError("refused"), gaierror("unknown host"), ConnectTimeoutError()])
def test_statement_without_a_connection_was_not_sent(cause: Exception) -> None:
    error = OperationalError("Error executing HTTP request")
    error.__cause__ = OSError("max retries exceeded")
    error.__cause__.__cause__ = cause
    with pytest.raises(UnavailableError) as raised, _translated_errors("http://ch:8123", "ann"):
        raise error

    assert type(raised.value) is UnavailableError
    assert raised.value.fault.kind is FaultKind.UNAVAILABLE


def test_only_the_message_of_an_insert_tells_its_deadline_from_any_throw_if() -> None:
    own = DatabaseError(f"Code: 395. DB::Exception: {DEADLINE_PASSED}: while executing", code=395)
    of_somebody = DatabaseError("Code: 395. DB::Exception: too late: while executing", code=395)

    assert type(translated(own)) is TooLateError
    assert type(translated(of_somebody)) is ClickHouseError


@pytest.mark.parametrize("code", [6, 27, 38, 41, 53, 72, 117])
def test_unparsable_values_are_rejected_rows(code: int) -> None:
    assert type(translated(DatabaseError("cannot parse", code=code))) is RejectedRowsError


@pytest.mark.parametrize(
    "error",
    [
        DatabaseError("syntax error", code=62),
        DatabaseError("unknown table", code=60),
        DatabaseError("not enough space", code=243),
        DatabaseError("a code that nobody listed", code=100_000),
        DatabaseError("authentication failed", code=516),
        ProgrammingError("the driver was asked for something that it does not do"),
    ],
    ids=str,
)
def test_permanent_failures_are_plain_clickhouse_errors(error: Exception) -> None:
    assert type(translated(error)) is ClickHouseError


@pytest.mark.parametrize("code", [192, 193, 194, 516])
def test_rejected_login_is_named_with_its_settings(code: int) -> None:
    error = translated(DatabaseError("server response: Authentication failed", code=code))

    assert str(error) == (
        "ClickHouse at http://ch:8123 rejects the password of ann. Check SEQUENCE_CLICKHOUSE_USERNAME and "
        "SEQUENCE_CLICKHOUSE_PASSWORD."
    )


def test_unverified_certificate_is_found_behind_the_errors_of_the_driver() -> None:
    refused = ssl.SSLCertVerificationError("certificate verify failed")
    refused.verify_message = "certificate has expired"
    retries_exceeded = OSError("max retries exceeded")
    retries_exceeded.__context__ = refused
    error = OperationalError("Error executing HTTP request")
    error.__cause__ = retries_exceeded
    with pytest.raises(CertificateError) as raised, _translated_errors("https://ch:8443", "ann"):
        raise error

    assert str(raised.value) == (
        "The certificate of ClickHouse at https://ch:8443 cannot be verified: certificate has expired. Check the "
        "certificate, SEQUENCE_CLICKHOUSE_CA_FILE and the host name in SEQUENCE_CLICKHOUSE_URL."
    )


@pytest.mark.parametrize(
    ("url", "with_port"),
    [
        ("http://ch", "http://ch:8123"),
        ("https://ch/", "https://ch:8443/"),
        ("https://proxy.example/clickhouse/", "https://proxy.example:443/clickhouse/"),
        ("http://proxy.example/clickhouse", "http://proxy.example:80/clickhouse"),
        ("http://[::1]:1/x", "http://[::1]:1/x"),
        ("https://ada:sesame@ch", "https://ch:8443"),
    ],
)
def test_url_without_a_port_has_that_of_clickhouse_or_of_the_reverse_proxy(url: str, with_port: str) -> None:
    assert server_url(ClickHouseSettings(url=url)).without_login == with_port


def test_unreadable_ca_file_is_an_error_before_anything_is_sent() -> None:
    with pytest.raises(
        SettingsError, match=r"^SEQUENCE_CLICKHOUSE_CA_FILE: cannot be read, got '/missing\.pem': No such"
    ):
        ClickHouse(ClickHouseSettings(url="https://ch", ca_file="/missing.pem"))
    ClickHouse(ClickHouseSettings(url="http://ch", ca_file="/missing.pem")).close()


def test_message_is_kept() -> None:
    assert "table events does not exist" in str(translated(DatabaseError("table events does not exist", code=60)))


def test_other_errors_are_not_translated() -> None:
    with pytest.raises(ZeroDivisionError), _translated_errors("http://ch:8123", "ann"):
        raise ZeroDivisionError
