"""`python -m gateway`: the gateway alone, from settings in the environment."""

from __future__ import annotations

import logging
import os
import sys

from gateway.errors import StartError
from gateway.server import run
from gateway.settings import GatewaySettings
from schemas.settings import SettingsError, load


def main() -> int:
    """Run the gateway; return 2 for wrong settings and 1 where it cannot start."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        run(load(GatewaySettings, os.environ))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
