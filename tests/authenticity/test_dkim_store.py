"""DKIM keys at rest: sealed, made and replaced by steps, and verified by dkimpy with what is to be published."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import dkim
import pytest
from msgspec.structs import replace

from relayd.authenticity.dkim_dns import Published, all_shown, compare, look
from relayd.authenticity.dkim_keys import IN_FLIGHT, DomainKeys, KeySet, State, StoredKey, record
from relayd.authenticity.dkim_sign import BodyHash, sign_all
from relayd.authenticity.dkim_store import DkimKeyFiles, load_signers, make_set, open_signers
from relayd.dns.publish import character_strings, zone_line
from relayd.dns.records import Answer, Records
from relayd.errors import ConfigurationError, KeyUnavailable, RelaydError, SealBroken
from relayd.mail.address import Domain
from relayd.vault.keyring import FILE, Keyring, generate
from tests.kit.dns import FakeDns

DOMAIN = Domain("clinic.example")
HEAD = b"From: a@clinic.example\r\nSubject: hi\r\n"
BODY = b"text\r\n"
DAY = 86400.0
NOW = 1_700_000_000.0  # dkimpy takes no signature from the future


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return generate(tmp_path / "keys")


@pytest.fixture
def files(tmp_path: Path, keyring: Keyring) -> DkimKeyFiles:
    return DkimKeyFiles(tmp_path / "keys")


def created(files: DkimKeyFiles, keyring: Keyring, selector: str = "s1", now: float = NOW) -> DomainKeys:
    return files.change(DOMAIN, lambda keys: keys.with_new(make_set(keyring, DOMAIN, selector, now), now))


def activated(files: DkimKeyFiles, now: float) -> DomainKeys:
    return files.change(DOMAIN, lambda keys: keys.activated(now, keys.waiting.selector if keys.waiting else ""))


def published(keys: DomainKeys) -> dict[str, bytes]:
    records = [record(DOMAIN, key, reports=False) for one in keys.sets for key in one.keys]
    return {one.name: one.text.encode() for one in records}


def signed(files: DkimKeyFiles, keyring: Keyring) -> bytes:
    hashed = BodyHash()
    hashed.feed(BODY)
    return sign_all(open_signers(keyring, files.read(DOMAIN)), HEAD, hashed.digest(), NOW) + HEAD + b"\r\n" + BODY


def verdicts(message: bytes, dns: dict[str, bytes]) -> list[bool]:
    verifier = dkim.DKIM(message)
    count = message.count(b"DKIM-Signature:")
    return [
        verifier.verify(n, dnsfunc=lambda name, timeout=5: dns.get(name.decode().rstrip("."))) for n in range(count)
    ]


@pytest.mark.parametrize("reports", [False, True])
def test_both_signatures_verify_with_the_records_that_are_printed(
    files: DkimKeyFiles, keyring: Keyring, reports: bool
) -> None:
    keys = created(files, keyring)
    activated(files, NOW)
    texts = [record(DOMAIN, key, reports=reports) for key in keys.sets[0].keys]
    assert [one.name for one in texts] == [f"s1-{kind}._domainkey.clinic.example" for kind in ("rsa", "ed25519")]
    dns = {one.name: b"".join(character_strings(one.text)) for one in texts}
    assert verdicts(signed(files, keyring), dns) == [True, True]


def test_a_rotation_has_two_sets_in_dns_and_never_a_signature_without_its_record(
    files: DkimKeyFiles, keyring: Keyring
) -> None:
    created(files, keyring, "old")
    first = activated(files, NOW)
    old = signed(files, keyring)
    rotated = created(files, keyring, "new", NOW + DAY)
    assert [one.state(NOW + DAY) for one in rotated.sets] == [State.SIGNING, State.WAITING]
    # The new set is made, but its records aren't published yet: what is signed now must verify with the old ones.
    assert verdicts(signed(files, keyring), published(first)) == [True, True]

    later = activated(files, NOW + 2 * DAY)
    assert verdicts(signed(files, keyring), published(later)) == [True, True]
    assert b"s=new-rsa" in signed(files, keyring)
    assert verdicts(old, published(later)) == [True, True]
    end = NOW + 2 * DAY + IN_FLIGHT.total_seconds()
    assert [later.sets[0].state(at) for at in (end - 1, end)] == [State.RETIRED, State.REMOVABLE]

    # The old private keys are gone from the file at once, the entry with the rotation after its time.
    assert [key.wrapped for key in later.sets[0].keys] == [b"", b""]
    assert [one.selector for one in created(files, keyring, "next", end).sets] == ["new", "next"]


def test_the_old_set_stays_longer_than_any_queue_keeps_mail() -> None:
    assert timedelta(days=5 + 2) < IN_FLIGHT


def test_only_one_set_waits_and_only_a_waiting_one_is_activated(files: DkimKeyFiles, keyring: Keyring) -> None:
    with pytest.raises(RelaydError, match=r"no keys of clinic\.example wait"):
        activated(files, NOW)
    created(files, keyring)
    with pytest.raises(RelaydError, match="wait to be signed with already"):
        created(files, keyring, "s2")
    with pytest.raises(RelaydError, match=r"no keys of clinic\.example wait"):
        files.change(DOMAIN, lambda keys: keys.activated(NOW, "another that was asked about"))
    activated(files, NOW)
    with pytest.raises(RelaydError, match="choose another selector"):
        created(files, keyring, "s1")
    assert [one.selector for one in files.read(DOMAIN).sets] == ["s1"]


def test_a_selector_is_the_day_and_counts_on(files: DkimKeyFiles, keyring: Keyring) -> None:
    names = []
    for _ in range(3):
        selector = files.read(DOMAIN).free_selector(NOW)
        created(files, keyring, selector)
        activated(files, NOW)
        names.append(selector)
    assert names == ["20231114", "20231114-2", "20231114-3"]


def test_nothing_waits_in_the_signers(files: DkimKeyFiles, keyring: Keyring, tmp_path: Path) -> None:
    assert load_signers(tmp_path / "keys") == {}
    created(files, keyring)
    assert load_signers(tmp_path / "keys") == {DOMAIN: ()}
    activated(files, NOW)
    assert [one.selector for one in load_signers(tmp_path / "keys")[DOMAIN]] == ["s1-rsa", "s1-ed25519"]


def test_the_file_is_private_and_unreadable_without_the_root_key(
    files: DkimKeyFiles, keyring: Keyring, tmp_path: Path
) -> None:
    created(files, keyring)
    activated(files, NOW)
    path = tmp_path / "keys" / "dkim" / "clinic.example.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in path.read_bytes()
    other = generate(tmp_path / "others")
    with pytest.raises(KeyUnavailable, match="no root"):
        open_signers(other, files.read(DOMAIN))
    (tmp_path / "keys" / FILE).unlink()
    with pytest.raises(ConfigurationError, match=r"root\.json doesn't exist"):
        load_signers(tmp_path / "keys")


def test_a_sealed_key_opens_for_its_own_domain_and_selector_alone(files: DkimKeyFiles, keyring: Keyring) -> None:
    created(files, keyring)
    keys = activated(files, NOW)
    rsa, ed25519 = keys.sets[0].keys
    for stolen in (
        DomainKeys("other.example", keys.sets),
        DomainKeys(DOMAIN, (_with_keys(keys, (_swap(rsa, ed25519),)),)),
    ):
        with pytest.raises(SealBroken):
            open_signers(keyring, stolen)


def _swap(name: StoredKey, content: StoredKey) -> StoredKey:
    return StoredKey(name.algorithm, name.selector, name.public, content.root, content.wrapped)


def _with_keys(keys: DomainKeys, chosen: tuple[StoredKey, ...]) -> KeySet:
    return replace(keys.sets[0], keys=chosen)


@pytest.mark.parametrize("spoil", ["open", "garbage", "another domain's", "a later version"])
def test_a_file_that_cannot_be_used_is_named(files: DkimKeyFiles, keyring: Keyring, tmp_path: Path, spoil: str) -> None:
    created(files, keyring)
    path = tmp_path / "keys" / "dkim" / "clinic.example.json"
    text = path.read_text()
    match spoil:
        case "open":
            path.chmod(0o644)
        case "garbage":
            path.write_text("{")
        case "another domain's":
            path.write_text(text.replace("clinic.example", "other.example"))
        case _:
            path.write_text(text.replace('"version": 1', '"version": 2'))
    with pytest.raises(ConfigurationError, match=r"clinic\.example\.json"):
        load_signers(tmp_path / "keys")


def test_a_change_that_fails_leaves_the_file_and_no_other_behind(
    files: DkimKeyFiles, keyring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(files, keyring)
    before = files.read(DOMAIN)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        with pytest.raises(KeyUnavailable, match="No space"):
            activated(files, NOW)
    assert files.read(DOMAIN) == before
    assert [path.name for path in (tmp_path / "keys" / "dkim").iterdir()] == ["clinic.example.json"]


PUBLIC = b"\x01\x02\x03"
KEY = StoredKey("rsa", "s", PUBLIC, "", b"")


@pytest.mark.parametrize(
    ("records", "published", "words"),
    [
        (Records(Answer.FOUND, (b"v=DKIM1; k=rsa; s=email; p=AQID",)), Published.SHOWN, ""),
        (Records(Answer.FOUND, (b"p=AQ ID",)), Published.SHOWN, ""),
        (Records(Answer.FOUND, (b"v=DKIM1;p=AQID;s=other:email;",)), Published.SHOWN, ""),
        (Records(Answer.NO_NAME), Published.MISSING, "no such record"),
        (Records(Answer.NO_DATA), Published.MISSING, "no such record"),
        (Records(Answer.TIMEOUT), Published.UNKNOWN, "timeout"),
        (Records(Answer.FAILED), Published.UNKNOWN, "servfail"),
        (Records(Answer.BOGUS), Published.UNKNOWN, "bogus"),
        (Records(Answer.FOUND, (b"p=AQID", b"p=AQID2")), Published.DIFFERENT, "several TXT records"),
        (Records(Answer.FOUND, (b"v=DKIM2; p=AQID",)), Published.DIFFERENT, "no DKIM record"),
        (Records(Answer.FOUND, (b"hello",)), Published.DIFFERENT, "no DKIM record"),
        (Records(Answer.FOUND, (b"p=AQID; p=AQID",)), Published.DIFFERENT, "no DKIM record"),
        (Records(Answer.FOUND, (b"\xff",)), Published.DIFFERENT, "no DKIM record"),
        (Records(Answer.FOUND, (b"v=DKIM1; p=",)), Published.DIFFERENT, "revokes"),
        (Records(Answer.FOUND, (b"v=DKIM1; p=AQIE",)), Published.DIFFERENT, "another key"),
        (Records(Answer.FOUND, (b"v=DKIM1; p=%%%",)), Published.DIFFERENT, "another key"),
        (Records(Answer.FOUND, (b"v=DKIM1; k=ed25519; p=AQID",)), Published.DIFFERENT, "another key"),
        (Records(Answer.FOUND, (b"v=DKIM1; s=tlsrpt; p=AQID",)), Published.DIFFERENT, "service type"),
        (Records(Answer.FOUND, (b"v=DKIM1; t=s:y; p=AQID",)), Published.DIFFERENT, "testing"),
    ],
)
def test_what_dns_shows_is_read_as_a_verifier_reads_it(
    records: Records[bytes], published: Published, words: str
) -> None:
    found, text = compare(records, KEY)
    assert found is published
    assert words in text


async def test_both_records_must_be_shown(files: DkimKeyFiles, keyring: Keyring) -> None:
    keys = created(files, keyring)
    zone = {(name, "TXT"): [text] for name, text in published(keys).items()}
    assert all_shown(await look(FakeDns(zone), DOMAIN, keys.sets[0]))
    zone.popitem()
    seen = await look(FakeDns(zone), DOMAIN, keys.sets[0])
    assert [one.published for one in seen] == [Published.SHOWN, Published.MISSING]


def test_a_long_record_is_printed_in_strings_that_join_without_a_gap() -> None:
    text = "v=DKIM1; p=" + "A" * 400 + '"\\é'
    assert b"".join(character_strings(text)).decode() == text
    assert [len(one) for one in character_strings(text)] == [255, len(text.encode()) - 255]
    line = zone_line("s._domainkey.x.example", text)
    assert line.startswith('s._domainkey.x.example. 3600 IN TXT "v=DKIM1; p=A')
    assert line.endswith('\\"\\\\\\195\\169"')


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_nothing_is_written_that_the_daemon_could_not_read(
    files: DkimKeyFiles, keyring: Keyring, tmp_path: Path
) -> None:
    os.chown(tmp_path / "keys", 65534, 65534)
    with pytest.raises(KeyUnavailable, match="as the user that relayd runs as"):
        created(files, keyring)
    assert not (tmp_path / "keys" / "dkim").exists()
