"""A whole small installation as configuration: who takes part in the tests, the demo, the crash campaign and the bench.

* ``noord`` is a hospital whose mail server relays through us; it shows a client certificate.
* ``praktijk`` has its mail hosted here: accounts ``anna@praktijk.example`` and ``bram@praktijk.example``.
* ``partner.example`` is a partner network's domain: a mail server behind verified TLS.
* Everyone else, such as ``someone@outside.example``, reads in the Viewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from argon2 import PasswordHasher

from tests.kit.ca import Authority
from tests.kit.dns_server import empty_dns
from tests.kit.ports import free_port

PASSWORD = "correct horse battery staple"
HOSTNAME = "mx.relayd.example"
ORDER = (
    "sender",
    "tls_required",
    "recipient_limit",
    "message_size",
    "authenticity",
    "attachments",
    "reports",
    "replies",
    "domainbook",
    "nta7516",
    "plain",
    "viewer",
)
Settings = dict[str, Any]


class Site:
    """Certificates, ports and the files of one configuration folder, to be changed before :meth:`write`."""

    def __init__(
        self, folder: Path, *, partner_port: int = 0, smarthost_port: int = 0, certificate_days: int = 30
    ) -> None:
        self.folder = folder
        self.config = folder / "config"
        self.state = folder / "state"
        self.keys = folder / "keys"
        self.sms = folder / "sms.jsonl"
        self.maildir = folder / "maildir"
        self.authority = Authority(folder / "ca")
        self.server = self.authority.issue(HOSTNAME, "127.0.0.1", "localhost", days=certificate_days)
        self.hospital = self.authority.issue("mail.noord.example", days=certificate_days)
        self.partner = self.authority.issue("mail.partner.example", days=certificate_days)
        self.relay_port = free_port()
        self.submission_port = free_port()
        self.submissions_port = free_port()
        self.web_port = free_port()
        self.partner_port = partner_port or free_port()
        self.relayd = self._relayd(smarthost_port or self.partner_port)
        self.policies: list[Settings] = [{"policy": name} for name in ORDER]
        self.organisations = self._organisations()
        self.domainbook = self._domainbook()
        self.nta: Settings = {}
        self.accounts = {"anna@praktijk.example": PASSWORD, "bram@praktijk.example": PASSWORD}
        #: Mail servers that log in: the name, and the organisation whose server it is. With the same password.
        self.machines: dict[str, str] = {}

    @property
    def viewer_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    def mailbox(self, address: str) -> Path:
        """Where the Maildir of this address is."""
        return self.maildir / address

    def write(self) -> Path:
        """The folder for ``--config``."""
        self.config.mkdir(parents=True, exist_ok=True)
        for name, value in {
            "relayd.yaml": self.relayd,
            "policies.yaml": self.policies,
            "organisations.yaml": self.organisations,
            "domainbook.yaml": self.domainbook,
            "nta7516.yaml": self.nta,
        }.items():
            (self.config / name).write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), "utf-8")
        accounts = self.config / "accounts"
        if not accounts.exists():
            accounts.touch(mode=0o600)
        accounts.write_text(
            "".join(
                f"{name}:{{ARGON2ID}}{_hash(password)}::::::userdb_relayd_organisation=praktijk\n"
                for name, password in self.accounts.items()
            )
            + "".join(
                f"{name}:{{ARGON2ID}}{_hash(PASSWORD)}::::::"
                f"userdb_relayd_organisation={organisation} userdb_relayd_machine=yes\n"
                for name, organisation in self.machines.items()
            )
        )
        return self.config

    def _relayd(self, smarthost_port: int) -> Settings:
        return {
            "hostname": HOSTNAME,
            "state": str(self.state),
            "keys": str(self.keys),
            "workers": 2,
            "demo": True,
            "resolver": empty_dns(),
            "listeners": [
                {"address": f"127.0.0.1:{self.relay_port}", "kind": "relay"},
                {"address": f"127.0.0.1:{self.submission_port}", "kind": "submission"},
                {"address": f"127.0.0.1:{self.submissions_port}", "kind": "submission", "tls": "implicit"},
            ],
            "tls": {
                "certificate": str(self.server.certificate),
                "key": str(self.server.key),
                "client_ca": str(self.authority.certificate),
                "trusted_ca": str(self.authority.certificate),
            },
            "viewer": {"address": f"127.0.0.1:{self.web_port}", "url": self.viewer_url},
            "sms": {"sender": "file", "file": str(self.sms)},
            "notices": {"smarthost": f"127.0.0.1:{smarthost_port}"},
            "mailboxes": {
                "hosted": {
                    "maildir": str(self.maildir),
                    "plaintext_at_rest": "accepted",
                    "reason": "made-up mail only",
                }
            },
            "log": "text",
        }

    def _organisations(self) -> Settings:
        return {
            "organisations": {
                "noord": {
                    "name": "Ziekenhuis Noord",
                    "domains": ["noord.example"],
                    "recognised_by": {"certificates": [{"spki_sha256": self.hospital.pin}]},
                },
                "praktijk": {"name": "Huisartsenpraktijk De Brink", "domains": ["praktijk.example"]},
            }
        }

    def _domainbook(self) -> Settings:
        return {
            "noord.example": {
                "organisation": "noord",
                "delivers": "relay",
                "next_hops": [f"127.0.0.1:{self.partner_port}"],
                "tls_names": ["mail.partner.example"],
            },
            "praktijk.example": {"organisation": "praktijk", "delivers": "mailbox", "store": "hosted"},
            "partner.example": {
                "network": "partners",
                "delivers": "relay",
                "next_hops": [f"127.0.0.1:{self.partner_port}"],
                "tls_names": ["mail.partner.example"],
                "ca_file": str(self.authority.certificate),
            },
        }


@cache
def _hash(password: str) -> str:
    """Slow, and the same password comes again and again."""
    return PasswordHasher().hash(password)


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> Settings:
    """``base`` with ``change`` laid over it, mapping by mapping."""
    result = deepcopy(dict(base))
    for key, value in change.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return result
