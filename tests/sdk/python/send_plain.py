"""Sends batches without a library: with `requests` or with `http.client`, as the first argument says."""

from __future__ import annotations

import http.client
import json
import sys
from typing import Any
from urllib.parse import urlsplit

import requests


def by_requests(host: str, key: str, batch: list[Any]) -> int:
    """Send *batch* with requests and return the status."""
    headers = {"Authorization": f"Bearer {key}"}
    return requests.post(f"{host}/event/batch", json={"batch": batch}, headers=headers, timeout=15).status_code


def by_http_client(host: str, key: str, batch: list[Any]) -> int:
    """Send *batch* with the standard library and return the status."""
    connection = http.client.HTTPConnection(str(urlsplit(host).netloc), timeout=15)
    try:
        # Without a Content-Type; http.client sends none by itself.
        body = json.dumps({"batch": batch})
        connection.request("POST", "/event/batch", body, {"Authorization": f"Bearer {key}"})
        return connection.getresponse().status
    finally:
        connection.close()


def main() -> None:
    """Send the calls of the scenario as one batch."""
    scenario = json.load(sys.stdin)
    send = {"requests": by_requests, "http.client": by_http_client}[sys.argv[1]]
    status = send(scenario["host"], scenario["key"], scenario["batch"])
    failed = [] if status == 200 else [str(status)]
    print(json.dumps({"failed": failed, "notSent": []}))  # noqa: T201  # it is read by the test


if __name__ == "__main__":
    main()
