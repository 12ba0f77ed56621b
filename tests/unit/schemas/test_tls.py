"""TLS from files: what is wrong with a file is named at the start, and a renewed one is used by the next connection."""

from __future__ import annotations

import datetime as dt
import re
import ssl
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from schemas.settings import KafkaSettings, SettingsError, certificate_fault, kafka_arguments
from schemas.tls import Certificate, CurrentContext, Setting, client_context

FIRST, SECOND = trustme.CA(), trustme.CA()
CERT, KEY = "SEQUENCE_KAFKA_CERT_FILE", "SEQUENCE_KAFKA_KEY_FILE"


def write(directory: Path, issued: trustme.LeafCert) -> tuple[Path, Path]:
    """Write a certificate with its chain, and its key, over those that are there; return the files."""
    certificate, key = directory / "tls.crt", directory / "tls.key"
    certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return certificate, key


def trusted(directory: Path, authority: trustme.CA) -> Setting:
    authority.cert_pem.write_to_path(directory / "ca.crt")
    return Setting("SEQUENCE_KAFKA_CA_FILE", str(directory / "ca.crt"))


def context_of(certificate: Path | str, key: Path | str) -> CurrentContext:
    arguments = kafka_arguments(KafkaSettings(security_protocol="SSL", cert_file=str(certificate), key_file=str(key)))
    assert isinstance(arguments["ssl_context"], CurrentContext)
    return arguments["ssl_context"]


def client_of(context: ssl.SSLContext, authority: trustme.CA) -> str:
    """Return the name by which *context* identifies itself to a server of *authority*, empty without a certificate."""
    return handshake(context, authority)[0]


def handshake(context: ssl.SSLContext, authority: trustme.CA) -> tuple[str, str | None]:
    """Return the name by which *context* identifies itself to a server of *authority*, and the version of TLS.

    Raises `ssl.SSLCertVerificationError` if one of them does not accept the other.
    """
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("kafka").configure_cert(serving)
    authority.configure_trust(serving)
    serving.verify_mode = ssl.CERT_OPTIONAL
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname="kafka")
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    certificate: dict[str, Any] = server.getpeercert() or {}
    return "".join(name for _, name in certificate.get("subjectAltName", ())), client.version()


def test_client_identifies_itself_by_its_certificate(tmp_path: Path) -> None:
    files = write(tmp_path, FIRST.issue_cert("gateway-1"))
    authorities = trusted(tmp_path, FIRST)
    context = client_context(authorities, Certificate(Setting(CERT, str(files[0])), Setting(KEY, str(files[1]))))

    assert client_of(context, FIRST) == "gateway-1"


def test_kafka_is_reached_by_tls_1_2_which_waits_for_the_broker(tmp_path: Path) -> None:
    certificate, key = write(tmp_path, FIRST.issue_cert("gateway-1"))
    plain = KafkaSettings(security_protocol="SSL", ca_file=trusted(tmp_path, FIRST).file)
    mutual = replace(plain, cert_file=str(certificate), key_file=str(key))

    versions = [handshake(kafka_arguments(each)["ssl_context"], FIRST)[1] for each in (plain, mutual)]

    assert versions == ["TLSv1.2", "TLSv1.2"]


def test_next_connection_uses_the_renewed_certificate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = write(tmp_path, FIRST.issue_cert("first"))
    authorities = trusted(tmp_path, FIRST)
    context = client_context(authorities, Certificate(Setting(CERT, str(files[0])), Setting(KEY, str(files[1]))))
    assert client_of(context, FIRST) == "first"

    with caplog.at_level("INFO"):
        write(tmp_path, FIRST.issue_cert("second"))
        assert client_of(context, FIRST) == "second"
        assert client_of(context, FIRST) == "second"

    assert [record.getMessage() for record in caplog.records] == [
        f"new connections use the changed TLS files: {authorities.file}, {files[0]}, {files[1]}"
    ]


def test_half_of_a_renewal_is_not_used_and_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = write(tmp_path, FIRST.issue_cert("first"))
    authorities = trusted(tmp_path, FIRST)
    context = client_context(authorities, Certificate(Setting(CERT, str(files[0])), Setting(KEY, str(files[1]))))
    renewed = FIRST.issue_cert("second")

    files[0].write_bytes(renewed.cert_chain_pems[0].bytes())
    assert [client_of(context, FIRST) for _ in range(2)] == ["first", "first"]
    renewed.private_key_pem.write_to_path(files[1])
    assert client_of(context, FIRST) == "second"

    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith("the changed TLS files are not used; new connections use the previous ones: ")
    assert f"{KEY}: the key in '{files[1]}' does not belong to the certificate in '{files[0]}' ({CERT})" in line


def test_missing_file_of_a_running_process_keeps_the_previous_one(tmp_path: Path) -> None:
    context = context_of(*write(tmp_path, FIRST.issue_cert("first")))
    before = context.current()

    (tmp_path / "tls.crt").unlink()

    assert context.current() is before


def test_authority_that_is_removed_is_no_longer_trusted(tmp_path: Path) -> None:
    context = client_context(trusted(tmp_path, FIRST), Certificate(Setting(CERT), Setting(KEY)))
    assert client_of(context, FIRST) == ""

    trusted(tmp_path, SECOND)

    assert client_of(context, SECOND) == ""
    with pytest.raises(ssl.SSLCertVerificationError):
        client_of(context, FIRST)


def test_certificate_that_is_not_accepted_is_told_until_one_is(tmp_path: Path) -> None:
    authorities = trusted(tmp_path, FIRST)
    kafka = KafkaSettings(security_protocol="SSL", ca_file=authorities.file)
    context = kafka_arguments(kafka)["ssl_context"]
    assert certificate_fault(kafka) == ""

    with pytest.raises(ssl.SSLCertVerificationError):
        client_of(context, SECOND)
    told = r": its certificate cannot be verified \([a-z -]+ certificate[a-z ]*\), see SEQUENCE_KAFKA_CA_FILE"
    assert re.fullmatch(told, certificate_fault(kafka))
    assert certificate_fault(KafkaSettings(ca_file=authorities.file)) == ""

    client_of(context, FIRST)
    assert certificate_fault(kafka) == ""


def test_one_file_may_contain_certificate_and_key(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(FIRST.issue_cert("gateway-1").private_key_and_cert_chain_pem.bytes())

    assert context_of(both, "").current().cert_store_stats()["x509"] > 0


def test_key_of_another_certificate_is_named(tmp_path: Path) -> None:
    certificate, key = write(tmp_path, FIRST.issue_cert("gateway-1"))
    FIRST.issue_cert("gateway-2").private_key_pem.write_to_path(key)

    with pytest.raises(SettingsError) as caught:
        context_of(certificate, key)
    assert str(caught.value) == (
        f"{KEY}: the key in '{key}' does not belong to the certificate in '{certificate}' ({CERT})"
    )


def test_expired_certificate_is_named(tmp_path: Path) -> None:
    expired = FIRST.issue_cert("gateway-1", not_after=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    certificate, key = write(tmp_path, expired)

    with pytest.raises(SettingsError) as caught:
        context_of(certificate, key)
    assert str(caught.value) == f"{CERT}: servers would not accept '{certificate}': certificate has expired"


def test_certificate_of_the_future_is_named(tmp_path: Path) -> None:
    future = FIRST.issue_cert("gateway-1", not_before=dt.datetime(2900, 1, 1, tzinfo=dt.UTC))

    with pytest.raises(SettingsError, match="certificate is not yet valid"):
        context_of(*write(tmp_path, future))


def test_encrypted_key_is_named(tmp_path: Path) -> None:
    certificate, key = write(tmp_path, FIRST.issue_cert("gateway-1"))
    key.write_text(key.read_text().replace("BEGIN EC ", "BEGIN ENCRYPTED "))

    with pytest.raises(SettingsError, match=r"the key is encrypted; it must not be$"):
        context_of(certificate, key)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"cert_file": "missing"}, f"^{CERT}: cannot be read, got 'missing': No such file or directory$"),
        ({"key_file": "missing"}, f"^{KEY}: cannot be read, got 'missing': No such file or directory$"),
        ({"cert_file": ""}, f"^{KEY}: requires {CERT}$"),
        ({"key_file": ""}, f"^{CERT}: cannot load .* it has no certificate or no key in PEM format$"),
        ({"cert_file": "/dev/null"}, f"^{CERT}: cannot load .* it has no certificate or no key in PEM format$"),
        ({"ca_file": "missing"}, r"^SEQUENCE_KAFKA_CA_FILE: cannot be read, got 'missing': No such file or directory$"),
        ({"ca_file": "/dev/null"}, r"^SEQUENCE_KAFKA_CA_FILE: .*: it has no certificate in PEM format$"),
        ({"ca_file": "/"}, r"^SEQUENCE_KAFKA_CA_FILE: .*: Is a directory$"),
    ],
)
def test_unusable_file_is_named_with_its_variable(tmp_path: Path, wrong: dict[str, Any], reason: str) -> None:
    certificate, key = write(tmp_path, FIRST.issue_cert("gateway-1"))
    right = KafkaSettings(security_protocol="SSL", cert_file=str(certificate), key_file=str(key))

    with pytest.raises(SettingsError, match=reason):
        kafka_arguments(replace(right, **wrong))


def test_files_of_tls_are_not_read_without_tls() -> None:
    assert "ssl_context" not in kafka_arguments(KafkaSettings(ca_file="missing", cert_file="missing"))
