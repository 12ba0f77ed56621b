"""Why a server does not answer, in a sentence that names its address."""

from __future__ import annotations

from aiokafka.errors import KafkaConnectionError

from deploy.errors import OperateError
from gateway.errors import GatewayError
from processors.clickhouse.client import server_url
from processors.clickhouse.codes import summary
from processors.clickhouse.errors import CertificateError, ClickHouseError
from schemas.denials import denial
from schemas.settings import ClickHouseSettings, KafkaSettings


def kafka_fault(kafka: KafkaSettings, error: Exception) -> str:
    """Return what *error*, of a request to Kafka, means."""
    if isinstance(error, OperateError | GatewayError):
        return str(error)
    if (denied := denial(error, "READ")) is not None:
        return denied
    reason = "" if isinstance(error, KafkaConnectionError) else f": {str(error) or type(error).__name__}"
    return (
        f"Kafka at {kafka.bootstrap_servers} is unreachable{reason}. "
        "Check SEQUENCE_KAFKA_SERVERS and that the broker is running."
    )


def clickhouse_fault(clickhouse: ClickHouseSettings, error: ClickHouseError) -> str:
    """Return what *error*, of a statement, means."""
    address = server_url(clickhouse).without_login
    if isinstance(error, CertificateError):
        return str(error)
    if error.code is not None:
        return f"ClickHouse at {address} answers with an error: {summary(str(error))}"
    reason: BaseException = error
    while (cause := reason.__cause__ or reason.__context__) is not None:
        reason = cause
    return (
        f"ClickHouse at {address} is unreachable: {reason}. "
        "Check SEQUENCE_CLICKHOUSE_URL and that the server is running."
    )
