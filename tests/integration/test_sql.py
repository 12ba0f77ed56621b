"""`sequence sql` as its users run it, on the embedded ClickHouse server and on servers that misbehave."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from deploy.cli import main
from deploy.local import state_lock
from deploy.local.passwords import ANALYST_FILE, WRITER_FILE
from processors.clickhouse.migrate import migrate
from tests.support import services
from tests.support.one_answer import answering
from tests.support.services import eventually, free_port

COMMAND = [sys.executable, "-m", "deploy.cli", "sql"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings of a local stack of which ClickHouse runs."""
    state = tmp_path_factory.mktemp("state")
    with state_lock.held(state), services.running(services.embedded_clickhouse(state)) as server:
        migrate(services.clickhouse_settings(server.address))
        (state / WRITER_FILE).write_text(f"{services.WRITER_PASSWORD}\n")
        (state / ANALYST_FILE).write_text(f"{services.ANALYST_PASSWORD}\n")
        yield {
            **{name: value for name, value in os.environ.items() if not name.startswith("SEQUENCE_")},
            "SEQUENCE_STATE_DIR": str(state),
            "SEQUENCE_LOCAL_CLICKHOUSE_PORT": str(urlsplit(server.address).port),
        }


def sql(environ: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of `sequence sql`, run in this process."""
    absent = {name: None for name in os.environ if name not in environ}
    done = CliRunner().invoke(main, ["sql", *arguments], env={**absent, **environ})
    return done.exit_code, done.stdout, done.stderr


def run(environ: dict[str, str], *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Return what `sql` returns, of a process."""
    done = subprocess.run(
        [*COMMAND, *arguments], env=environ, input=stdin, capture_output=True, check=False, timeout=60
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def refusal(environ: dict[str, str], *arguments: str) -> str:
    """Return the one message with which `sequence sql` fails."""
    code, output, message = sql(environ, *arguments)
    assert (code, output) == (1, "")
    assert message.startswith("Error: ")
    assert "Traceback" not in message
    return message.removeprefix("Error: ").strip()


@pytest.mark.parametrize(
    ("statement", "advice"),
    [
        ("SELECT max(properties.price) FROM events", "max needs values of one type: max(num(properties.price)). str, "),
        ("SELECT 1 FROM events ORDER BY properties.price", "ORDER BY needs values of one type: ORDER BY str("),
        ("SELECT windowFunnel(9)(timestamp, event = 'a') FROM events", "windowFunnel takes a time in seconds: "),
        ("SELECT nullIf(properties.plan, 'pro') FROM events", "Give the property a type: nullIf(str(properties.plan)"),
        ("SELECT has(properties.items, 'a') FROM events", "Read an array of a property with JSONExtract("),
        ("SELECT countIf(properties.first) FROM events", "A condition is a boolean: countIf(bool(properties.first))."),
        ("SELECT price FROM events", "A property is read with its path: properties.price."),
        ("SELECT no_such_function(event) FROM events", ""),
    ],
)
def test_message_about_a_property_ends_with_what_to_type(stack: dict[str, str], statement: str, advice: str) -> None:
    lines = refusal(stack, statement).splitlines()
    assert (lines[0][:6], lines[-1].startswith(advice or "Code: ")) == ("Code: ", True)


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("SELECT 1 AS one, 'größe 😀' AS text, [1, 2] AS list, NULL",), "1\tgröße 😀\t[1,2]\t\\N\n"),
        (("SELECT currentDatabase()",), "sequence\n"),
        (("SELECT count() FROM events",), "0\n"),
        (("SELECT * FROM events",), ""),
        (("--format", "JSONEachRow", 'SELECT \'{"a": "ü"}\'::JSON AS value'), '{"value":{"a":"ü"}}\n'),
        (("--format", "CSVWithNames", "SELECT 1 AS one"), '"one"\n1\n'),
        (("--format", "CSV", "SELECT 'in the statement' AS format FORMAT TSVWithNames"), "format\nin the statement\n"),
        (("SELECT 1 -- a comment",), "1\n"),
        (("SELECT 1;",), "1\n"),
        (
            ('SELECT \'{"a.b": 1, "a": {"b": 2}}\'::JSON AS value, value.`a%2Eb`, value.a.b',),
            '{"a.b":1,"a":{"b":2}}\t1\t2\n',
        ),
    ],
)
def test_answer_is_printed(stack: dict[str, str], arguments: tuple[str, ...], answer: str) -> None:
    assert sql(stack, *arguments) == (0, answer, "")


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_statement_is_read_from_standard_input(stack: dict[str, str], arguments: tuple[str, ...]) -> None:
    assert run(stack, *arguments, stdin="SELECT\n  'größe'\n".encode()) == (0, "größe\n", "")


def test_answer_on_a_terminal_is_a_table(stack: dict[str, str]) -> None:
    terminal, side = pty.openpty()
    with subprocess.Popen([*COMMAND, "SELECT 1 AS one"], env=stack, stdin=side, stdout=side, stderr=side) as process:
        os.close(side)
        answer = b""
        while b"1 \xe2\x94\x82" not in answer:  # the row's value and the table's right edge
            answer += os.read(terminal, 4096)
        assert process.wait(30) == 0
    os.close(terminal)
    assert "┌─one─┐" in answer.decode()


def test_note_on_a_terminal_follows_the_answer(stack: dict[str, str]) -> None:
    statement = "SELECT lag(number) OVER (ORDER BY number) AS before FROM numbers(1)"
    terminal, side = pty.openpty()
    with subprocess.Popen([*COMMAND, statement], env=stack, stdout=subprocess.PIPE, stderr=side) as process:
        os.close(side)
        assert process.stdout is not None
        assert process.stdout.read() == b"0\n"
        assert process.wait(30) == 0
    assert b"lag(toNullable(number)) returns NULL" in os.read(terminal, 4096)
    os.close(terminal)
    assert run(stack, statement) == (0, "0\n", "")


def test_large_answer_arrives_completely(stack: dict[str, str]) -> None:
    code, output, message = run(stack, "SELECT number, repeat('x', 50) FROM numbers(1000000)")

    assert (code, message) == (0, "")
    lines = output.splitlines()
    assert (len(lines), lines[-1].split("\t")[0]) == (1_000_000, "999999")


def test_reader_that_has_enough_ends_the_command_quietly(stack: dict[str, str]) -> None:
    with subprocess.Popen(
        [*COMMAND, "SELECT number FROM numbers(5000000)"], env=stack, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""


def test_insert_needs_write(stack: dict[str, str]) -> None:
    insert = 'INSERT INTO schema_migrations (name) FORMAT JSONEachRow {"name": "größe"}'
    count = "SELECT count() FROM schema_migrations WHERE name = 'größe'"

    message = refusal(stack, insert)

    assert "analyst" in message or "readonly" in message
    assert sql(stack, "--write", count) == (0, "0\n", "")
    assert sql(stack, "--write", insert) == (0, "", "")
    assert sql(stack, "--write", count) == (0, "1\n", "")
    assert sql(stack, "--write", "ALTER TABLE schema_migrations DELETE WHERE name = 'größe'")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("SELEC 1",), "Code: 62. DB::Exception: Syntax error"),
        (("SELECT * FROM nowhere",), "nowhere"),
        (("SELECT `größe` FROM events",), "größe"),
        (("--format", "Nonsense", "SELECT 1"), "Nonsense"),
    ],
)
def test_error_of_clickhouse_is_printed_with_its_text(
    stack: dict[str, str], arguments: tuple[str, ...], reason: str
) -> None:
    assert reason in refusal(stack, *arguments)


@pytest.mark.parametrize("write", [(), ("--write",)])
def test_wrong_password_is_named(stack: dict[str, str], write: tuple[str, ...]) -> None:
    wrong = {"SEQUENCE_LOCAL_ANALYST_PASSWORD": "s3cret", "SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD": "s3cret"}

    message = refusal(stack | wrong, *write, "SELECT 1")

    user = "default" if write else "analyst"
    assert f"rejects the password of {user}" in message
    assert "SEQUENCE_STATE_DIR" in message
    assert "s3cret" not in message


def test_other_port_than_that_of_the_stack_is_named_with_the_remedy(stack: dict[str, str]) -> None:
    port = str(free_port())

    message = refusal(stack | {"SEQUENCE_LOCAL_CLICKHOUSE_PORT": port}, "SELECT 1")

    assert f"ClickHouse at http://127.0.0.1:{port}/ does not answer: Connection refused. " in message
    assert "set SEQUENCE_LOCAL_CLICKHOUSE_PORT" in message
    assert len(message.splitlines()) == 1


def test_proxy_that_does_not_answer_is_named() -> None:
    port = free_port()
    server = {"SEQUENCE_CLICKHOUSE_URL": "http://db.example", "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": "x"}

    message = refusal(server | {"HTTP_PROXY": f"http://127.0.0.1:{port}"}, "SELECT 1")

    assert f"Connection refused by the proxy 127.0.0.1:{port} that HTTP_PROXY or HTTPS_PROXY names. " in message


def test_proxy_of_the_environment_is_not_asked_for_the_local_stack(stack: dict[str, str]) -> None:
    proxy = f"http://127.0.0.1:{free_port()}"

    assert sql(stack | {"HTTP_PROXY": proxy, "http_proxy": proxy, "ALL_PROXY": proxy}, "SELECT 1") == (0, "1\n", "")


def test_server_is_queried_with_its_own_password(stack: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{stack['SEQUENCE_LOCAL_CLICKHOUSE_PORT']}"
    server = {
        "SEQUENCE_CLICKHOUSE_URL": url,
        "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": services.ANALYST_PASSWORD,
        "SEQUENCE_STATE_DIR": "/nonexistent",
    }

    assert sql(stack | server, "SELECT currentUser() != '', currentDatabase()")[:2] == (0, "1\tsequence\n")
    message = refusal(stack | server | {"SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": "wrong"}, "SELECT 1")
    assert "Check SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD" in message


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n1\n\r\n"


def test_answer_that_ends_early_is_an_error(stack: dict[str, str]) -> None:
    with answering(CHUNKED) as (environ, _):
        code, output, message = sql(stack | environ, "SELECT 1")

    assert (code, output) == (1, "1\n")
    assert message.startswith("Error: The answer ended early")


def test_complete_answer_of_the_same_server_is_none(stack: dict[str, str]) -> None:
    with answering(CHUNKED + b"0\r\n\r\n") as (environ, _):
        assert sql(stack | environ, "SELECT 1") == (0, "1\n", "")


def test_another_server_on_the_port_is_reported(stack: dict[str, str]) -> None:
    with answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nno page") as (environ, _):
        message = refusal(stack | environ, "SELECT 1")

    assert "answered with status 404 and not as ClickHouse does: 'no page'" in message


def test_redirect_does_not_take_the_password_elsewhere(stack: dict[str, str]) -> None:
    with answering(CHUNKED, keep_open=True) as (elsewhere, arrived):
        location = f"Location: {elsewhere['SEQUENCE_CLICKHOUSE_URL']}/\r\n".encode()
        with answering(b"HTTP/1.1 307 Moved\r\n" + location + b"Content-Length: 0\r\n\r\n") as (environ, _):
            message = refusal(stack | environ, "SELECT 1")
        assert not arrived()
        with socket.create_connection(("127.0.0.1", urlsplit(elsewhere["SEQUENCE_CLICKHOUSE_URL"]).port or 0)) as own:
            own.sendall(b"GET / HTTP/1.1\r\n\r\n")

    assert "answered with status 307" in message


def test_interrupt_ends_the_command_quietly(stack: dict[str, str]) -> None:
    with (
        answering(CHUNKED, keep_open=True) as (environ, arrived),
        subprocess.Popen(
            [*COMMAND, "SELECT 1"], env=stack | environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None
        eventually(arrived, "the statement has arrived")
        assert process.stdout.readline() == b"1\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == (b"", b"")
        assert process.returncode == -signal.SIGINT


def test_disk_without_space_is_reported(stack: dict[str, str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*COMMAND, "SELECT 1"], env=stack, stdout=full, stderr=subprocess.PIPE, check=False)

    assert done.returncode == 1
    assert done.stderr.decode().startswith(
        "Error: Cannot write the answer to standard output: No space left on device."
    )
