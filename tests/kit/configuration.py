"""A small valid configuration folder, of which a test replaces the file it is about."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

FILES = {
    "relayd.yaml": """
        hostname: relay.example
        state: state
        keys: keys
        listeners:
          - {address: "127.0.0.1:2525", kind: relay}
        tls: {certificate: tls.pem, key: tls.key, client_ca: clients.pem}
        mailboxes:
          main: {lmtp: "unix:lmtp"}
    """,
    "policies.yaml": "[]",
    "organisations.yaml": """
        organisations:
          north:
            name: Hospital North
            domains: [north.example]
            recognised_by:
              networks: [192.0.2.0/28]
          south:
            name: Clinic South
            domains: [south.example, hosted.example]
    """,
    "domainbook.yaml": """
        north.example: {organisation: north, delivers: relay, next_hops: ["mx.north.example:25"]}
        hosted.example: {organisation: south, delivers: mailbox, store: main}
    """,
}


def write_configuration(folder: Path, **files: str) -> Path:
    """Write FILES into ``folder``, with ``files`` (name without ending → text) in their place."""
    texts = FILES | {name if name == "accounts" else f"{name}.yaml": text for name, text in files.items()}
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(dedent(text).lstrip("\n"))
    return folder
