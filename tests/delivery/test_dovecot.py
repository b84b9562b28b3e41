"""Hosted mail with the real Dovecot and the configuration that we ship: delivered, encrypted at rest, read by IMAP."""

from __future__ import annotations

import imaplib
import pwd
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from argon2 import PasswordHasher

from relayd.delivery.mailbox import LmtpRoute
from relayd.delivery.outcome import Result
from relayd.delivery.pool import Pool
from relayd.delivery.routes import lmtp_hop
from relayd.dns.resolver import DnsResolver
from relayd.mail.address import parse_address
from relayd.settings.accounts import AccountLine
from relayd.tls.contexts import ClientTls
from tests.kit.jobs import Blocks, make_delivery, make_job
from tests.kit.wait import wait_for

SHIPPED = Path(__file__).parents[2] / "config" / "dovecot" / "dovecot.conf"
MODULES = Path("/usr/lib/dovecot/modules")
NAME, PASSWORD = "jan@hosted.example", "correct horse"
CANARY = b"CANARY-9f2c"
PORT = 23993


def missing() -> str:
    """What this test can't do without."""
    if shutil.which("dovecot") is None:
        return "dovecot-core isn't installed"
    if not shutil.which("doveadm") or not Path("/usr/lib/dovecot/lmtp").exists():
        return "dovecot-lmtpd isn't installed"
    if not Path("/usr/lib/dovecot/imap").exists():
        return "dovecot-imapd isn't installed"
    return "" if Path("/proc/self").stat().st_uid == 0 else "Dovecot's tests need root"


pytestmark = [pytest.mark.behaviour, pytest.mark.skipif(bool(missing()), reason=missing() or "all there")]


def run(*command: str) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, timeout=30).stdout


@pytest.fixture
def dovecot() -> Iterator[Path]:
    """A Dovecot on the shipped configuration, with its paths, port and users replaced by those of the test."""
    folder = Path(tempfile.mkdtemp(prefix="relayd-dovecot-"))
    folder.chmod(0o755)
    ca = trustme.CA()
    certificate = ca.issue_cert("localhost")
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "certificate.pem"))
    private = run("openssl", "ecparam", "-name", "secp521r1", "-genkey", "-noout")
    (folder / "mail-ec.pem").write_bytes(private)
    run("openssl", "pkey", "-in", f"{folder}/mail-ec.pem", "-out", f"{folder}/mail-private.pem")
    run("openssl", "pkey", "-in", f"{folder}/mail-ec.pem", "-pubout", "-out", f"{folder}/mail-public.pem")
    verifier = "{ARGON2ID}" + PasswordHasher().hash(PASSWORD)
    (folder / "accounts").write_text(f"{AccountLine(parse_address(NAME), verifier, 'hosted')}\n")
    user = pwd.getpwnam("mail")
    (folder / "vmail").mkdir()
    shutil.chown(folder / "vmail", user.pw_uid, user.pw_gid)
    text = SHIPPED.read_text()
    for shipped, ours in {
        "/etc/relayd/tls": str(folder),
        "/etc/relayd/dovecot": str(folder),
        "/etc/relayd/accounts": f"{folder}/accounts",
        "/var/vmail": f"{folder}/vmail",
        "/run/dovecot": f"{folder}/run",
        "port = 993": f"port = {PORT}\n    address = 127.0.0.1",
        "uid=vmail gid=vmail": f"uid={user.pw_uid} gid={user.pw_gid}",
        "user = relayd": "user = root",
        "log_path = syslog": f"log_path = {folder}/log\nfirst_valid_uid = 1",
    }.items():
        assert shipped in text
        text = text.replace(shipped, ours)
    (folder / "dovecot.conf").write_text(text)
    process = subprocess.Popen(["dovecot", "-F", "-c", str(folder / "dovecot.conf")])
    try:
        wait_for(lambda: (folder / "run" / "lmtp").exists() or process.poll() is not None, "Dovecot's LMTP socket")
        assert process.poll() is None, (folder / "log").read_text()
        yield folder
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


async def test_hosted_mail_is_encrypted_at_rest_and_read_by_imap(dovecot: Path) -> None:
    pool = Pool("relay.example", ClientTls(), DnsResolver(), per_hop=2, total=4, idle=30)
    accounts = {NAME: NAME, "alias@hosted.example": NAME, "gone@hosted.example": "gone@hosted.example"}
    route = LmtpRoute(lmtp_hop(f"unix:{dovecot}/run/lmtp"), pool, accounts.get)
    content = b"From: a@hospital.example\r\nTo: jan@hosted.example\r\nSubject: " + CANARY
    content += b"\r\n\r\n" + (CANARY + b"\r\n.dots\r\n") * 500
    deliveries = [
        make_delivery(number, name, route="mailbox", target="hosted")
        for number, name in enumerate((NAME, "gone@hosted.example", "alias@hosted.example"))
    ]
    outcomes = await route.deliver(make_job(*deliveries, content=Blocks(content)))
    await route.close()
    log = (dovecot / "log").read_text()
    assert [o.result for o in outcomes] == [Result.DELIVERED, Result.FAILED, Result.DELIVERED], log
    assert outcomes[1].status == "5.1.1"

    files = [path for path in (dovecot / "vmail").rglob("*") if path.is_file()]
    # The alias is the same mailbox, and Dovecot stores one copy of one transaction there.
    assert len([path for path in files if path.parent.name == "new"]) == 1
    assert not [path for path in files if CANARY in path.read_bytes()]

    context = ssl.create_default_context(cafile=str(dovecot / "ca.pem"))
    with imaplib.IMAP4_SSL("localhost", PORT, ssl_context=context) as imap:
        with pytest.raises(imaplib.IMAP4.error):
            imap.login(NAME, "wrong")
        imap.login(NAME, PASSWORD)
        assert imap.select("INBOX") == ("OK", [b"1"])
        _, fetched = imap.fetch("1", "(BODY.PEEK[])")
    assert isinstance(fetched[0], tuple)
    assert fetched[0][1].endswith(content), log
