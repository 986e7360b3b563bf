"""Somebody who gets mail: an SMTP server that takes it over TLS alone, after a name and a password."""

from __future__ import annotations

import ssl
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.broker import free_ports

HOST = "127.0.0.1"


class Mailbox:
    """The server. `authority` is the file of who vouches for its name."""

    def __init__(self, folder: Path, password: str) -> None:
        self._got: list[EmailMessage] = []
        (self._port,) = free_ports(1)
        self.authority = folder / "authority.pem"
        vouching = trustme.CA()
        vouching.cert_pem.write_to_path(str(self.authority))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        vouching.issue_cert(HOST).configure_cert(context)

        def known(
            server: SMTP, session: Session, envelope: Envelope, mechanism: str, shown: LoginPassword
        ) -> AuthResult:
            return AuthResult(success=shown.password.decode() == password, handled=False)

        self._controller = Controller(
            _Keeping(self._got),
            hostname=HOST,
            port=self._port,
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            auth_exclude_mechanism=["LOGIN"],  # asks in words that Alertmanager does not take
            authenticator=known,
        )

    def __enter__(self) -> Mailbox:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()

    @property
    def address(self) -> str:
        """Host and port, as Alertmanager's `smtp_smarthost` has them."""
        return f"{HOST}:{self._port}"

    def about(self, subject: str) -> list[EmailMessage]:
        """What came with these words in its subject, in order."""
        return [letter for letter in self._got if subject in letter["Subject"]]


class _Keeping:
    def __init__(self, got: list[EmailMessage]) -> None:
        self._got = got

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self._got.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"
