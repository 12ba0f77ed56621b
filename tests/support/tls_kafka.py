"""A broker that denies by default, with TLS on every listener: SCRAM on one, client certificates on the other."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trustme
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest

from deploy.embedded.kafka import Broker, new_cluster_id
from deploy.kafka_rights import PREFIX, Right
from schemas.settings import KafkaSettings, kafka_arguments
from tests.support.secured_kafka import ADMIN, answers
from tests.support.services import Service, fetched_jars, free_port

MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_LITERAL, _ALLOW = 3, 3
_TYPES = {"topic": 2, "group": 3, "cluster": 4}
_OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10, "AlterConfigs": 11}
_P256_HEADER = bytes.fromhex("308193020100301306072a8648ce3d020106082a8648ce3d0301070479")
"""What PKCS#8 adds before a key on the curve P-256 that has its public key, 121 bytes."""


@dataclass(frozen=True, slots=True)
class TlsBroker(Broker):
    """The embedded broker with a certificate. Only `ADMIN`, the broker and what `grant` has granted may do anything."""

    certificates: Path = Path()
    """Directory with `broker.pem`, and `ca.pem` with the authorities of clients."""
    mutual_port: int = 0
    users: tuple[str, ...] = ()

    def properties(self, *, controller_port: int) -> dict[str, str]:
        """Return the broker's configuration."""
        found = Broker.properties(self, controller_port=controller_port)
        listeners = f"SASL_SSL://127.0.0.1:{self.port},SSL://127.0.0.1:{self.mutual_port}"
        return {
            **found,
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "SSL",
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
            **{
                f"listener.name.sasl_ssl.{mechanism.lower()}.sasl.jaas.config": (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                )
                for mechanism in MECHANISMS
            },
            "listener.name.ssl.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certificates / "broker.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificates / "ca.pem"),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            # The controller's listener has no login.
            "super.users": f"User:{ADMIN};User:broker;User:ANONYMOUS",
        }

    def format_with_users(self) -> None:
        """Format the data directory with the passwords of `users` and of `ADMIN`."""
        self.configure(controller_port=free_port())
        logins = [
            f"--add-scram={mechanism}=[name={user},password={password_of(user)},iterations=4096]"
            for user in (ADMIN, *self.users)
            for mechanism in MECHANISMS
        ]
        command = [*self.java(), "kafka.tools.StorageTool", "format", "--cluster-id", new_cluster_id()]
        subprocess.run(
            [*command, "--config", "server.properties", *logins],
            cwd=self.directory,
            env={**os.environ, **self.environ()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=60,
        )


@dataclass(frozen=True, slots=True)
class TlsKafka:
    """A broker's service, and the authority of its certificate and of those of clients."""

    service: Service
    broker: TlsBroker
    authority: trustme.CA

    @property
    def ca_file(self) -> str:
        """File with the authority of the broker."""
        return str(self.broker.certificates / "broker-ca.pem")

    def as_user(self, user: str, prefix: str, mechanism: str = "SCRAM-SHA-512") -> KafkaSettings:
        """Return the settings of *user*, who logs in with a password."""
        return KafkaSettings(
            bootstrap_servers=f"127.0.0.1:{self.broker.port}",
            security_protocol="SASL_SSL",
            sasl_mechanism=mechanism,  # type: ignore[arg-type]  # one of MECHANISMS
            username=user,
            password=password_of(user),
            ca_file=self.ca_file,
            topic_prefix=prefix,
        )

    def with_certificate(self, user: str, prefix: str, directory: Path) -> KafkaSettings:
        """Return the settings of *user*, who is identified by a certificate, with its files in *directory*."""
        if not directory.exists():
            issue(self.authority, user, directory)
        return replace(
            self.as_user("", prefix),
            bootstrap_servers=f"127.0.0.1:{self.broker.mutual_port}",
            security_protocol="SSL",
            password="",
            cert_file=str(directory / "tls.crt"),
            key_file=str(directory / "tls.key"),
        )


def tls_kafka(directory: Path, users: Iterable[str]) -> TlsKafka:
    """Return the broker with *users*, who have passwords and no rights, not yet started."""
    authority = trustme.CA()
    certificates = directory / "certificates"
    certificates.mkdir(parents=True)
    broker = TlsBroker(
        directory / "kafka",
        free_port(),
        fetched_jars(),
        certificates=certificates,
        mutual_port=free_port(),
        users=tuple(users),
    )
    write_broker(certificates, authority)
    trust(certificates / "ca.pem", authority)
    trust(certificates / "broker-ca.pem", authority)
    broker.format_with_users()
    address = f"127.0.0.1:{broker.port}"
    service = Service(
        "Kafka",
        directory,
        address,
        broker.command,
        broker.environ(),
        lambda: asyncio.run(answers(found.as_user(ADMIN, "none"))),
        broker.directory,
    )
    found = TlsKafka(service, broker, authority)
    return found


def password_of(user: str) -> str:
    """Return the password of *user*."""
    return f"secret-of-{user}"


def issue(authority: trustme.CA, user: str, directory: Path) -> None:
    """Write a new certificate of *user* and its key to *directory*, over those that are there."""
    directory.mkdir(parents=True, exist_ok=True)
    issued = authority.issue_cert(f"{user}.example", common_name=user)
    for name, content in (
        ("tls.crt", b"".join(part.bytes() for part in issued.cert_chain_pems)),
        ("tls.key", issued.private_key_pem.bytes()),
    ):
        _replace(directory / name, content)


def write_broker(certificates: Path, authority: trustme.CA) -> None:
    """Write a new certificate of the broker, which it reads at its start."""
    issued = authority.issue_cert("127.0.0.1", common_name="broker")
    chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
    _replace(certificates / "broker.pem", _pkcs8(issued.private_key_pem.bytes()) + chain)


def trust(file: Path, *authorities: trustme.CA) -> None:
    """Write *authorities* to *file*, in place of those that are there."""
    _replace(file, b"".join(authority.cert_pem.bytes() for authority in authorities))


def _replace(file: Path, content: bytes) -> None:
    written = file.with_name(f"{file.name}.new")
    written.write_bytes(content)
    written.rename(file)


async def grant(admin: KafkaSettings, user: str, rights: Iterable[Right]) -> None:
    """Allow *user* also *rights*, on topics and groups of the prefix of *admin*, and wait for the effect."""
    async with _client(admin) as client:
        entries = [_entry(admin, user, right) for right in rights]
        for entry in entries:
            created = await client.send(client.get_random_node(), CreateAclsRequest(*entry))
            assert [code for code, _ in created.creation_responses] == [0], created
        async with asyncio.timeout(10):
            for entry in entries:
                while not (await client.send(client.get_random_node(), DescribeAclsRequest(*entry))).resources:
                    pass


def _entry(admin: KafkaSettings, user: str, right: Right) -> tuple[int, str, int, str, str, int, int]:
    name = right.resource(admin.topic_prefix)
    assert not name.startswith(PREFIX)
    return _TYPES[right.kind], name, _LITERAL, f"User:{user}", "*", _OPERATIONS[right.operation], _ALLOW


@asynccontextmanager
async def _client(admin: KafkaSettings) -> AsyncIterator[AIOKafkaClient]:
    client = AIOKafkaClient(**kafka_arguments(admin))
    await client.bootstrap()
    try:
        yield client
    finally:
        await client.close()


def _pkcs8(pem: bytes) -> bytes:
    """Return a key on the curve P-256 in the only format that Kafka reads."""
    key = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    encoded = base64.encodebytes(_P256_HEADER + key)
    return b"-----BEGIN PRIVATE KEY-----\n" + encoded + b"-----END PRIVATE KEY-----\n"  # pragma: allowlist secret
