"""Secrets in files: private from the first byte on, generated once, replaced by a password that is set."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from deploy import secret_files
from deploy.errors import StateError


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_secret_file_is_private_from_the_first_byte_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    real = os.open

    def watch(path: Path, flags: int, permissions: int = 0o777) -> int:
        descriptor = real(path, flags, permissions)
        opened.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", watch)
    before = os.umask(0)
    try:
        secret_files.write(tmp_path / "secret", "s3cret")
    finally:
        os.umask(before)

    assert opened == [0o600]
    assert mode(tmp_path / "secret") == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "secret"]


@pytest.mark.parametrize("secret", ["s3cret", "", "pässwörd \t", "line\nbreak\n"])
def test_secret_is_read_as_it_was_written(tmp_path: Path, secret: str) -> None:
    secret_files.write(tmp_path / "secret", secret)

    assert secret_files.read(tmp_path / "secret") == secret


def test_password_is_generated_once(tmp_path: Path) -> None:
    first = secret_files.keep_password(tmp_path / "one", "")
    written = (tmp_path / "one").stat().st_ino

    assert secret_files.keep_password(tmp_path / "one", "") == first
    assert (tmp_path / "one").stat().st_ino == written
    assert len(first) == 32
    assert first != secret_files.keep_password(tmp_path / "other", "")


def test_password_that_is_set_replaces_the_stored_one(tmp_path: Path) -> None:
    secret_files.keep_password(tmp_path / "password", "")

    assert secret_files.keep_password(tmp_path / "password", "mine") == "mine"
    assert secret_files.keep_password(tmp_path / "password", "") == "mine"


def test_empty_file_gets_a_password(tmp_path: Path) -> None:
    (tmp_path / "password").touch()

    assert len(secret_files.keep_password(tmp_path / "password", "")) == 32


def test_password_file_that_others_can_read_is_closed(tmp_path: Path) -> None:
    password = secret_files.keep_password(tmp_path / "password", "")
    (tmp_path / "password").chmod(0o644)

    assert secret_files.keep_password(tmp_path / "password", "") == password
    assert mode(tmp_path / "password") == 0o600


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_secret_that_cannot_be_read_is_reported_with_its_file(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "password"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)

    with pytest.raises(StateError, match=f"Cannot read the secret file {file}: "):
        secret_files.keep_password(file, "")


def test_secret_that_cannot_be_written_is_reported_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "missing" / "password"

    with pytest.raises(StateError, match=f"Cannot write the secret file {file}: No such file or directory"):
        secret_files.write(file, "s3cret")
