"""TLS contexts made from files that can be replaced while the process runs.

A connection uses the files as they are when it is made, so a renewed certificate needs no restart. An open connection
keeps what it was made with.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from schemas.loading import SettingsError

log = logging.getLogger(__name__)

_HANDSHAKE_STEPS = 4
"""More than the messages of a handshake of TLS 1.2, which has the most."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that names a file: its variable, for messages, and its value."""

    variable: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate by which a process identifies itself. The key is in the same file if its setting is empty."""

    certificate: Setting
    key: Setting

    def __bool__(self) -> bool:
        return bool(self.certificate.file)

    @property
    def files(self) -> list[str]:
        """Return the files that are set."""
        return [setting.file for setting in (self.certificate, self.key) if setting.file]


class CurrentContext(ssl.SSLContext):
    """A context that makes each connection with the current content of *files*.

    *make* returns a context from them, and raises `SettingsError`. If it fails after the start, because a file is being
    written for example, connections use the previous content, and the reason is logged once for each change.
    """

    def __new__(cls, protocol: int, *_: Any) -> Self:
        """Return a context of *protocol*."""
        return super().__new__(cls, protocol)

    def __init__(self, protocol: int, files: Sequence[str], make: Callable[[], ssl.SSLContext]) -> None:  # noqa: ARG002
        self._files = [Path(file) for file in files]
        self._make = make
        self._states = self._read_states()
        self._context = make()
        self.fault = ""
        """Why the last certificate of a server was not accepted; empty once one was."""

    def current(self) -> ssl.SSLContext:
        """Return the context of the files as they are, or as they were when they could last be used."""
        if (states := self._read_states()) != self._states:
            self._states = states
            names = ", ".join(map(str, self._files))
            try:
                self._context = self._make()
                log.info("new connections use the changed TLS files: %s", names)
            except SettingsError as error:
                log.warning("the changed TLS files are not used; new connections use the previous ones: %s", error)
        return self._context

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Return the TLS of a new connection; asyncio, uvloop and aiohttp call this."""
        made = self.current().wrap_bio(*arguments, **options)
        handshake = made.do_handshake

        def noted_handshake() -> None:
            try:
                handshake()
            except ssl.SSLCertVerificationError as error:
                self.fault = error.verify_message.rstrip(".")
                raise
            self.fault = ""

        made.do_handshake = noted_handshake  # type: ignore[method-assign]  # a connection of its own
        return made

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        """Return the TLS of a new connection."""
        return self.current().wrap_socket(*arguments, **options)

    def _read_states(self) -> list[tuple[int, int, int] | None]:
        """Return what changes when a file is written or replaced; None for one that cannot be read."""
        states: list[tuple[int, int, int] | None] = []
        for file in self._files:
            try:
                found = file.stat()
                states.append((found.st_ino, found.st_size, found.st_mtime_ns))
            except OSError:
                states.append(None)
        return states


@cache
def client_context(
    authorities: Setting, certificate: Certificate, newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
) -> CurrentContext:
    """Return the context that verifies a server by *authorities* and identifies the client by *certificate*.

    Without *authorities* the CA certificates of the system apply, and without *certificate* the client has none.
    *newest* limits the version of TLS. One process has one context for the same settings. Raises `SettingsError`,
    which names the variable and the reason.
    """

    def make() -> ssl.SSLContext:
        context = _verifying(authorities)
        context.maximum_version = newest
        if certificate.files:
            _load(context, certificate)
        return context

    files = [authorities.file, *certificate.files] if authorities.file else certificate.files
    return CurrentContext(ssl.PROTOCOL_TLS_CLIENT, files, make)


def _verifying(authorities: Setting) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authorities.file or None)
    except OSError as error:
        reason = "it has no certificate in PEM format" if isinstance(error, ssl.SSLError) else error.strerror
        raise SettingsError(f"{authorities.variable}: cannot be read, got {authorities.file!r}: {reason}") from error


def _load(context: ssl.SSLContext, certificate: Certificate) -> None:
    """Add *certificate* to *context*; raises `SettingsError` if no server would accept it now."""
    if certificate.key.file and not certificate:
        raise SettingsError(f"{certificate.key.variable}: requires {certificate.certificate.variable}")
    for setting in (certificate.certificate, certificate.key):
        if setting.file:
            _require_readable(setting)
    name, key = certificate.certificate, certificate.key
    try:
        _load_chain(context, certificate)
        if fault := _fault(certificate):
            raise SettingsError(f"{name.variable}: servers would not accept {name.file!r}: {fault}")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(
                f"{key.variable}: the key in {key.file or name.file!r} does not belong to the certificate in "
                f"{name.file!r} ({name.variable})"
            ) from error
        raise SettingsError(
            f"{name.variable}: cannot load the certificate in {name.file!r} with the key in {key.file or name.file!r}: "
            f"{_reason(error, key.file or name.file)}"
        ) from error


def _require_readable(setting: Setting) -> None:
    try:
        with Path(setting.file).open("rb"):
            pass
    except OSError as error:
        raise SettingsError(f"{setting.variable}: cannot be read, got {setting.file!r}: {error.strerror}") from error


def _load_chain(context: ssl.SSLContext, certificate: Certificate) -> None:
    # Without a password OpenSSL would ask for that of an encrypted key on the terminal.
    context.load_cert_chain(certificate.certificate.file, certificate.key.file or None, password="")


def _fault(certificate: Certificate) -> str:
    """Return why *certificate* is not valid now, for example `certificate has expired`; empty if it is.

    A server in memory checks it as a real one does, but trusts every issuer.
    """
    client_side, server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client_side.check_hostname = False
    client_side.verify_mode = ssl.CERT_NONE
    server_side.verify_mode = ssl.CERT_REQUIRED
    server_side.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    server_side.load_verify_locations(certificate.certificate.file)
    for context in (client_side, server_side):
        _load_chain(context, certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server)
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    try:
        for _ in range(_HANDSHAKE_STEPS):
            for side in (client, server):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    return ""


def _reason(error: ssl.SSLError, key_file: str) -> str:
    """Return what is wrong with the files of which OpenSSL says *error*."""
    if b"ENCRYPTED" in Path(key_file).read_bytes():
        return "the key is encrypted; it must not be"
    return "it has no certificate or no key in PEM format" if error.reason is None else str(error)
