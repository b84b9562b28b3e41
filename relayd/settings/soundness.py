"""What relayd.yaml must be true to in itself, beyond the type of each field."""

from __future__ import annotations

from collections.abc import Iterator

from relayd.errors import Problem, SyntaxInvalid
from relayd.mail.address import normalise_domain
from relayd.settings.explain import suggest
from relayd.settings.models import Configuration, FolderSettings, MailboxSettings
from relayd.settings.sms_soundness import unsound_sms
from relayd.settings.source import Source

_CLEAR = "writes clear text to disk: say plaintext_at_rest: accepted and give a reason"


def unsound(source: Source, configuration: Configuration) -> Iterator[Problem]:
    """Every contradiction within ``configuration``."""
    yield from _hostname(source, configuration)
    yield from _listeners(source, configuration)
    yield from _folders_apart(source, configuration)
    yield from unsound_sms(source, configuration)
    yield from _viewer(source, configuration)
    yield from _overrides(source, configuration)
    yield from _reports(source, configuration)
    for name, mailbox in configuration.mailboxes.items():
        yield from _mailbox(source, name, mailbox)
    for name, folder in configuration.folders.items():
        if not _accepted(folder):
            yield source.problem(["folders", name], _CLEAR)


def _hostname(source: Source, configuration: Configuration) -> Iterator[Problem]:
    try:
        normalise_domain(configuration.hostname)
    except SyntaxInvalid:
        yield source.problem(["hostname"], "expected a host name such as relay.clinic.example")


def _listeners(source: Source, configuration: Configuration) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for number, listener in enumerate(configuration.listeners):
        first = seen.setdefault(listener.address, number)
        if first != number and not listener.address.endswith(":0"):
            line = source.line(["listeners", first, "address"])
            yield source.problem(
                ["listeners", number, "address"], f"is taken by the listener on line {line}; remove one of them"
            )
        if listener.kind != "mllp":
            continue
        if listener.tls != "implicit":
            yield source.problem(["listeners", number, "kind"], "mllp has no STARTTLS; write tls: implicit")
        if configuration.tls.client_ca is None:
            text = "mllp recognises systems by client certificates, which need tls.client_ca"
            yield source.problem(["listeners", number, "kind"], text)


def _overrides(source: Source, configuration: Configuration) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for number, override in enumerate(configuration.tls_overrides):
        first = seen.setdefault(override.domain, number)
        if first != number:
            line = source.line(["tls_overrides", first, "domain"])
            yield source.problem(
                ["tls_overrides", number, "domain"], f"has an override on line {line} already; make them one"
            )


def _folders_apart(source: Source, configuration: Configuration) -> Iterator[Problem]:
    # A backup of the state must never hold the keys: destroying a key would then destroy nothing.
    state, keys = configuration.state.resolve(), configuration.keys.resolve()
    if keys == state or state in keys.parents:
        yield source.problem(["keys"], "must not lie inside state; keys have a backup of their own")
    elif keys in state.parents:
        yield source.problem(["state"], "must not lie inside keys; keys have a backup of their own")


def _viewer(source: Source, configuration: Configuration) -> Iterator[Problem]:
    viewer = configuration.viewer
    if (viewer.certificate is None) != (viewer.key is None):
        yield source.problem(["viewer"], "certificate and key go together; give both or neither")


def _reports(source: Source, configuration: Configuration) -> Iterator[Problem]:
    reports = configuration.reports
    if reports.unreadable and reports.unreadable not in configuration.folders:
        hint = suggest(reports.unreadable, configuration.folders) or "add it under folders"
        yield source.problem(["reports", "unreadable"], f"there is no folder called {reports.unreadable}; {hint}")


def _mailbox(source: Source, name: str, mailbox: MailboxSettings) -> Iterator[Problem]:
    if bool(mailbox.lmtp) == (mailbox.maildir is not None):
        yield source.problem(["mailboxes", name], "expected either lmtp or maildir")
    if mailbox.maildir is not None and not _accepted(mailbox):
        yield source.problem(["mailboxes", name], f"maildir {_CLEAR}")


def _accepted(store: MailboxSettings | FolderSettings) -> bool:
    return store.plaintext_at_rest == "accepted" and bool(store.reason.strip())
