"""The parts of the pipeline on a cluster that denies by default, with TLS on every connection and a user for each."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trustme

from deploy.kafka_rights import PARTS
from deploy.topics import apply
from gateway.projects.admin import create_project, create_token
from processors.clickhouse.client import ClickHouse
from schemas.settings import ClickHouseSettings, KafkaSettings, TopicSettings, environment
from tests.support import databases
from tests.support.http_proxies import ReverseProxy
from tests.support.secured_kafka import ADMIN
from tests.support.services import eventually, free_port
from tests.support.tls_kafka import TlsKafka, grant, issue
from tests.support.worker_process import Worker

WITH_PASSWORDS = {"gateway": "SCRAM-SHA-512", "sink": "SCRAM-SHA-256", "topics": "SCRAM-SHA-512"}
"""Parts that log in by SASL, with their mechanism. The others have certificates."""
RUNNING = ("gateway", "dedupe", "persons", "sink")


@dataclass
class Secured:
    """The cluster, ClickHouse behind mutual TLS, and a user for each part."""

    kafka: TlsKafka
    clickhouse: ClickHouseSettings
    directory: Path
    prefix: str = field(default_factory=lambda: f"t-{secrets.token_hex(4)}")
    port: int = field(default_factory=free_port)
    token: str = ""
    workers: dict[str, Worker] = field(default_factory=dict)
    """The running gateway and workers, by part."""

    @property
    def admin(self) -> KafkaSettings:
        """Settings of a user who may do everything."""
        return self.kafka.as_user(ADMIN, self.prefix)

    def settings_of(self, part: str) -> KafkaSettings:
        """Return the settings of the user of *part*."""
        if part in WITH_PASSWORDS:
            return self.kafka.as_user(part, self.prefix, WITH_PASSWORDS[part])
        return self.kafka.with_certificate(part, self.prefix, self.directory / part)

    def post(self, *items: Mapping[str, object]) -> int:
        """Send *items* by HTTPS, and return the status; 0 without an answer."""
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}/event/batch",
            json.dumps({"batch": items}).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        trusted = ssl.create_default_context(cafile=self.kafka.ca_file)
        try:
            with urllib.request.urlopen(request, timeout=10, context=trusted) as reply:  # noqa: S310  # our own URL
                return int(reply.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of *sql*."""
        clickhouse = ClickHouse(self.clickhouse)
        try:
            return clickhouse.query(sql)
        finally:
            clickhouse.close()

    def logs(self) -> str:
        """Return the end of what each process has printed."""
        return "\n".join(f"{part}: {worker.log[-1500:]}" for part, worker in self.workers.items())

    def start(self, part: str) -> Worker:
        """Return the process of a gateway or worker, not yet started."""
        variables = {
            **(environment(self.clickhouse) if part == "sink" else {}),
            "SEQUENCE_GATEWAY_PORT": str(self.port),
            "SEQUENCE_GATEWAY_TLS_CERTIFICATE_FILE": str(self.kafka.broker.certificates / "broker.pem"),
        }
        return Worker(part, self.settings_of(part), self.directory / "processes" / part, environ=variables)


def sequence(kafka: KafkaSettings, variables: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Return exit code and output of a command that must end."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SEQUENCE_")}
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        env={**environ, **variables, **environment(kafka)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout


def track(message_id: str) -> dict[str, object]:
    """Return an item."""
    return {"type": "track", "event": "Clicked", "userId": "u-1", "messageId": message_id}


@contextmanager
def secured_parts(kafka: TlsKafka, clickhouse: str, directory: Path) -> Iterator[Secured]:
    """Run the parts in *directory* for the block, with ClickHouse at the URL *clickhouse* behind mutual TLS.

    Each user does its own part: that of `sequence topics apply` makes the topics.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "clickhouse-ca.pem")
    issue(authority, "sequence", directory / "clickhouse")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with ExitStack() as stack:
        plain = stack.enter_context(databases.database(clickhouse))
        proxy = stack.enter_context(ReverseProxy(plain.url.rstrip("/"), context=context))
        behind_tls = replace(
            plain,
            url=f"https://127.0.0.1:{proxy.port}",
            ca_file=str(directory / "clickhouse-ca.pem"),
            cert_file=str(directory / "clickhouse" / "tls.crt"),
            key_file=str(directory / "clickhouse" / "tls.key"),
        )
        made = Secured(kafka, behind_tls, directory)
        for name, part in PARTS.items():
            asyncio.run(grant(made.admin, name, part.rights))
        asyncio.run(apply(made.settings_of("topics"), TopicSettings(partitions=1)))
        asyncio.run(create_project(made.settings_of("projects"), "shop", "Shop"))
        made.token = asyncio.run(create_token(made.settings_of("projects"), "shop"))
        made.workers.update({name: stack.enter_context(made.start(name)) for name in RUNNING})
        gateway = made.workers["gateway"]
        eventually(lambda: made.post(track("m-0")) == 200, "the gateway accepts", output=lambda: gateway.log)
        yield made
