"""Which gateways are asked for their status."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.operate.status_local import gateways_to_ask
from schemas.settings import SettingsError

VARIABLE = "SEQUENCE_STATUS_GATEWAYS"


def test_gateways_of_an_option_precede_the_setting_and_those_precede_the_local_stack(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "gateway-1.pid").write_text("1\n")
    both = {VARIABLE: " http://a:8080, https://b ,"}

    assert gateways_to_ask(["http://c"], tmp_path, both) == ["http://c"]
    assert gateways_to_ask([], tmp_path, both) == ["http://a:8080", "https://b"]
    assert gateways_to_ask([], tmp_path, {}) == ["http://127.0.0.1:8080"]
    assert gateways_to_ask([], None, {}) == []


def test_text_that_is_no_address_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(SettingsError, match=rf"^{VARIABLE}: 'b:8080' "):
        gateways_to_ask([], None, {VARIABLE: "http://a:8080,b:8080"})
