"""The gateways that are asked for their status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.addresses import http_url
from schemas.settings import SettingsError, load, setting


@dataclass(frozen=True, slots=True)
class StatusSettings:
    """What is asked beside Kafka and ClickHouse."""

    gateways: str = setting(
        "SEQUENCE_STATUS_GATEWAYS",
        "",
        "Addresses of the gateways that `sequence status`, `sequence doctor` and the console ask, comma-separated",
    )


def configured(environ: Mapping[str, str]) -> list[str]:
    """Return the addresses of SEQUENCE_STATUS_GATEWAYS; raises `SettingsError` if one is not an address."""
    found = [each.strip() for each in load(StatusSettings, environ).gateways.split(",") if each.strip()]
    for url in found:
        try:
            http_url(url)
        except ValueError as error:
            raise SettingsError(f"SEQUENCE_STATUS_GATEWAYS: {url!r} {error}") from error
    return found
