"""SSL contexts: ours as a server, and ours towards next hops.

TLS 1.2 and 1.3 with the choices of NCSC-NL's guideline of 2025 (``guideline.py``). Python 3.11 can't choose groups, TLS
1.3 suites or signature algorithms; the shipped ``openssl.cnf`` does, once OPENSSL_CONF names it before the ssl module
loads. ``relayd tls-profile`` shows what comes of both.
"""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path
from typing import Final

import structlog

from relayd.errors import ConfigurationError, Problem
from relayd.settings.models import TlsSettings
from relayd.tls.demand import Security, TlsDemand

_EXCHANGES: Final = ("ECDHE-ECDSA", "ECDHE-RSA")
#: TLS 1.2 suites: forward secrecy and authenticated encryption only, all of them sufficient by the guideline.
SUITES: Final = tuple(
    f"{exchange}-{cipher}"
    for cipher in ("AES256-GCM-SHA384", "CHACHA20-POLY1305", "AES128-GCM-SHA256")
    for exchange in _EXCHANGES
)
#: For next hops that needn't prove who they are, after the others: what the guideline wants phased out, since such mail
#: would otherwise not go at all. DHE isn't among it: the server alone chooses how small its group is.
SUITES_PHASING_OUT: Final = tuple(
    f"{exchange}-{cipher}" for cipher in ("AES256-SHA384", "AES128-SHA256") for exchange in _EXCHANGES
)

log = structlog.get_logger("relayd.tls")


def shipped_openssl_conf() -> Path:
    """The OpenSSL configuration that completes the settings here.

    The launcher puts it in OPENSSL_CONF and starts the process anew: OpenSSL reads it only while it loads.
    """
    name = "openssl-3.5.cnf" if ssl.OPENSSL_VERSION_INFO >= (3, 5) else "openssl.cnf"
    return Path(__file__).with_name(name)


def use_shipped_openssl_conf(environment: dict[str, str]) -> dict[str, str]:
    """``environment`` for a new process whose OpenSSL reads our configuration, unless the sysadmin names another."""
    return {"OPENSSL_CONF": str(shipped_openssl_conf()), **environment}


def _harden(context: ssl.SSLContext, suites: tuple[str, ...] = SUITES) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Level 2 is Debian's own and refuses RSA below 2048 bits and SHA-1; other builds of OpenSSL begin with level 1.
    context.set_ciphers(":".join((*suites, "@SECLEVEL=2")))
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """A context for our listeners. Raises ConfigurationError that names the file and what is wrong with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    _check_private(settings.key)
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise _problem(settings.certificate, "tls.certificate", "can't be loaded with its key", error) from error
    # A client certificate is asked for, never demanded: a stranger has none. One that is shown must lead to this file,
    # where a self-signed certificate may stand for itself, or to a CA of the system: the large platforms show their
    # public certificate to whoever asks, and OpenSSL ends the handshake for one that it can't place. Whom a
    # certificate means is the directory's decision.
    if settings.client_ca is not None:
        try:
            context.load_verify_locations(cafile=settings.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise _problem(settings.client_ca, "tls.client_ca", "can't be loaded", error) from error
        context.set_default_verify_paths()
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _check_private(key: Path) -> None:
    try:
        mode = key.stat().st_mode
    except OSError as error:
        raise _problem(key, "tls.key", "can't be read", error) from error
    # The group may read: a credential of systemd has an ACL for its service, which shows as that.
    if stat.S_IMODE(mode) & 0o037:
        text = f"others may read this private key (mode {stat.S_IMODE(mode):04o}); make it 0600 or 0400"
        raise ConfigurationError([Problem(key, None, "tls.key", text)])


def _problem(file: Path, key: str, text: str, error: Exception) -> ConfigurationError:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
    return ConfigurationError([Problem(file, None, key, f"{text}: {reason}")])


class ServerTls:
    """The listeners' context, made anew when a file of it changes. A broken new file leaves the old one in force."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._seen = self._fingerprint()
        self._context = server_context(settings)

    def context(self) -> ssl.SSLContext:
        """The context for a new handshake."""
        seen = self._fingerprint()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = server_context(self._settings)
                log.info("certificate_reloaded")
            except ConfigurationError as error:
                log.error("certificate_not_reloaded", problem=str(error))
        return self._context

    def _fingerprint(self) -> tuple[object, ...]:
        files = (self._settings.certificate, self._settings.key, self._settings.client_ca)
        return tuple(_identity(file) for file in files if file is not None)


def _identity(file: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class ClientTls:
    """Contexts towards next hops, kept per kind of demand: loading a CA bundle takes milliseconds."""

    def __init__(self, trusted_ca: Path | None = None) -> None:
        self._trusted_ca = trusted_ca
        self._contexts: dict[tuple[bool, bool, str, object], ssl.SSLContext] = {}

    def context(self, demand: TlsDemand) -> ssl.SSLContext:
        """The context with which to start TLS. The caller compares names and pins after the handshake."""
        chain = demand.security is Security.VERIFIED and not demand.pins
        ca_file = (demand.ca_file or str(self._trusted_ca or "")) if chain else ""
        proven = demand.security in (Security.DANE, Security.VERIFIED)
        key = (proven, chain, ca_file, _identity(Path(ca_file)) if ca_file else None)
        context = self._contexts.get(key)
        if context is None:
            suites = SUITES if proven else SUITES + SUITES_PHASING_OUT
            context = self._contexts[key] = _client_context(chain, ca_file, suites)
        return context


def _client_context(chain: bool, ca_file: str, suites: tuple[str, ...] = SUITES) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context, suites)
    # A certificate may prove any of several names; OpenSSL would compare just one. See identity.proves().
    context.check_hostname = False
    if not chain:
        context.verify_mode = ssl.CERT_NONE
        return context
    context.verify_mode = ssl.CERT_REQUIRED
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def https_context(trusted_ca: Path | None = None) -> ssl.SSLContext:
    """A context for asking a web server whose name the certificate has to prove (RFC 9525), under ``trusted_ca`` or
    the system's CAs."""
    context = _client_context(True, str(trusted_ca or ""))
    context.check_hostname = True
    context.hostname_checks_common_name = False
    return context
