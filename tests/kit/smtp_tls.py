"""Contexts from a CA made for the test run."""

from __future__ import annotations

import functools
import ssl

import trustme


@functools.cache
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(*, ask_for_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    if ask_for_certificate:
        authority().configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    context.check_hostname = False
    if certificate is not None:
        certificate.configure_cert(context)
    return context
