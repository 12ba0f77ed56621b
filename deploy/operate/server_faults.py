"""Why a server does not answer, in a sentence that names its address."""

from __future__ import annotations

from aiokafka.errors import KafkaConnectionError

from deploy.errors import OperateError
from deploy.operate.offsets import REQUEST_SECONDS, NoAnswerError
from gateway.errors import GatewayError
from processors.clickhouse.client import server_url
from processors.clickhouse.codes import summary
from processors.clickhouse.errors import CertificateError, ClickHouseError
from schemas.denials import denial
from schemas.settings import ClickHouseSettings, KafkaSettings, certificate_fault

CHECK_KAFKA = "Check SEQUENCE_KAFKA_SERVERS and that the broker is running."
CHECK_CLICKHOUSE = "Check SEQUENCE_CLICKHOUSE_URL and that the server is running."


def local_advice(process: str) -> str:
    """Return what to do if *process* of the local stack does not answer."""
    return f"It is the process {process} of the local stack. Run `sequence status`, which says what is wrong with it."


def kafka_fault(kafka: KafkaSettings, error: Exception, advice: str = CHECK_KAFKA) -> str:
    """Return what *error*, of a request to Kafka, means, with *advice* if Kafka does not answer."""
    if isinstance(error, NoAnswerError):
        return f"Kafka at {kafka.bootstrap_servers} did not answer within {REQUEST_SECONDS:g} s. {advice}".rstrip()
    if isinstance(error, OperateError | GatewayError):
        return str(error)
    if (denied := denial(error, "READ")) is not None:
        return denied
    if isinstance(error, KafkaConnectionError):
        reason = certificate_fault(kafka)
    else:
        reason = f": {str(error) or type(error).__name__}"
    return f"Kafka at {kafka.bootstrap_servers} is unreachable{reason}. {advice}".rstrip()


def clickhouse_fault(clickhouse: ClickHouseSettings, error: ClickHouseError, advice: str = CHECK_CLICKHOUSE) -> str:
    """Return what *error*, of a statement, means, with *advice* if ClickHouse does not answer."""
    address = server_url(clickhouse).without_login
    if isinstance(error, CertificateError):
        return str(error)
    if error.code is not None:
        return f"ClickHouse at {address} answers with an error: {summary(str(error))}"
    cause: BaseException = error
    while (earlier := cause.__cause__ or cause.__context__) is not None:
        cause = earlier
    # The driver's text has the whole statement.
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return f"ClickHouse at {address} is unreachable: {reason}. {advice}".rstrip()
