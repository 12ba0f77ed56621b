"""A broker with logins and permissions, as managed clusters have them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import replace
from enum import IntEnum
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest

from deploy.embedded.kafka import Broker
from schemas.settings import KafkaSettings, kafka_arguments
from tests.support.services import Service, fetched_jars, free_port

ADMIN = "admin"
USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace")
_PASSWORD = "secret-of-{}"
_PREFIXED, _ALLOW = 4, 3
_TYPES = {"topic": 2, "group": 3, "cluster": 4}


class Operation(IntEnum):
    """Kafka's operations."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11


class SecuredBroker(Broker):
    """The embedded broker with SASL/PLAIN and an authorizer that allows only what `allow` has granted."""

    def properties(self, *, controller_port: int) -> dict[str, str]:
        """Return the broker's configuration."""
        found = Broker.properties(self, controller_port=controller_port)
        users = " ".join(f'user_{user}="{_PASSWORD.format(user)}"' for user in (ADMIN, *USERS))
        login = f'username="{ADMIN}" password="{_PASSWORD.format(ADMIN)}"'
        module = "org.apache.kafka.common.security.plain.PlainLoginModule"
        return {
            **{name: value.replace("PLAINTEXT://", "SASL_PLAINTEXT://") for name, value in found.items()},
            "listener.security.protocol.map": "SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{module} required {login} {users};",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # The controller's listener has no login.
            "super.users": f"User:{ADMIN};User:ANONYMOUS",
        }


def secured_kafka(directory: Path) -> Service:
    """Return the broker, not yet started."""
    broker = SecuredBroker(directory / "kafka", free_port(), fetched_jars())
    broker.format(os.environ)
    address = f"127.0.0.1:{broker.port}"
    return Service(
        "Kafka",
        directory,
        address,
        broker.command,
        broker.environ(),
        lambda: asyncio.run(answers(as_user(KafkaSettings(bootstrap_servers=address), ADMIN))),
        broker.directory,
    )


def as_user(kafka: KafkaSettings, user: str) -> KafkaSettings:
    """Return *kafka* with the login of *user*."""
    return replace(kafka, security_protocol="SASL_PLAINTEXT", username=user, password=_PASSWORD.format(user))


async def allow(kafka: KafkaSettings, user: str, resource: str, name: str, operations: Iterable[Operation]) -> None:
    """Allow *user* the *operations* on the topics or groups whose names begin with *name*, and wait for the effect.

    The cluster has the name `kafka-cluster`.
    """
    client = AIOKafkaClient(**kafka_arguments(as_user(kafka, ADMIN)))
    await client.bootstrap()
    try:
        for operation in operations:
            entry = (_TYPES[resource], name, _PREFIXED, f"User:{user}", "*", int(operation), _ALLOW)
            created = await client.send(client.get_random_node(), CreateAclsRequest(*entry))
            assert [code for code, _ in created.creation_responses] == [0], created
            async with asyncio.timeout(10):
                while not (await client.send(client.get_random_node(), DescribeAclsRequest(*entry))).resources:
                    pass
    finally:
        await client.close()


async def answers(kafka: KafkaSettings) -> bool:
    """Return whether the broker answers the user of *kafka*."""
    admin = AIOKafkaAdminClient(**kafka_arguments(kafka))
    try:
        await admin.start()
        return bool(await admin.describe_topics() is not None)
    except KafkaError:
        return False
    finally:
        await admin.close()
