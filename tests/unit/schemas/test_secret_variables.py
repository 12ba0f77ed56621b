"""A secret setting is read from the file that its variable with the suffix `_FILE` names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from schemas.settings import SettingsError, load, setting


def check_long_enough(value: str) -> None:
    if len(value) < 4:
        raise ValueError("must have at least 4 characters")


@dataclass(frozen=True, slots=True)
class Settings:
    """A secret and a name."""

    key: str = setting("T_KEY", "none", "A secret", secret=True, check=check_long_enough)
    name: str = setting("T_NAME", "a", "A name")


@pytest.mark.parametrize("ending", ["", "\n"])
@pytest.mark.parametrize("own", [{}, {"T_KEY": ""}])
def test_secret_is_read_from_its_file(tmp_path: Path, own: dict[str, str], ending: str) -> None:
    file = tmp_path / "key"
    file.write_text(f"sésame{ending}", encoding="utf-8")

    assert load(Settings, {**own, "T_KEY_FILE": str(file)}).key == "sésame"


def test_setting_that_is_no_secret_has_no_file(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("b")

    assert load(Settings, {"T_NAME_FILE": str(tmp_path / "name")}).name == "a"


@pytest.mark.parametrize(
    ("content", "key", "fault"),
    [
        (b"sesame", "sesame", "must not be set together with T_KEY_FILE"),
        (b"abc", "", "must have at least 4 characters"),
        (b"\xff", "", "not UTF-8"),
        (None, "", "No such file or directory"),
    ],
)
def test_secret_file_that_cannot_be_used_is_reported(
    tmp_path: Path, content: bytes | None, key: str, fault: str
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)

    with pytest.raises(SettingsError, match=f"^T_KEY: .*{fault}") as caught:
        load(Settings, {"T_KEY": key, "T_KEY_FILE": str(tmp_path / "key")})
    assert "sesame" not in str(caught.value)
    assert "abc" not in str(caught.value)
