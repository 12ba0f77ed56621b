"""Arguments of `sequence audit` that do not fit together."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from deploy.cli import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--watch", "30s", "--json"], "--watch takes no option"),
        (["--watch", "30s", "--refill"], "--watch takes no option"),
        (["--watch", "30s", "--project", "shop"], "--watch takes no option"),
        (["--watch", "30"], "'30' is not a duration"),
        (["--metrics-port", "9469"], "belong to --watch"),
        (["--metrics-host", "::1"], "belong to --watch"),
        (["--watch", "30s", "--metrics-port", "70000"], "70000 is not in the range"),
    ],
)
def test_options_that_do_not_fit_together_are_a_usage_error(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["audit", *arguments])

    assert (result.exit_code, said in result.output) == (2, True)
