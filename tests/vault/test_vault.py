"""Keys: who may read the keyring, what opens what, and what destruction means."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from relayd.errors import KeyDestroyed, KeyUnavailable, PasswordNeeded, SealBroken
from relayd.vault.epochs import EpochKeys, epoch_of
from relayd.vault.keyring import Keyring, Root, generate
from relayd.vault.vault import MessageKey, Vault

WEEK = "2026-W48"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def keyring(keys: Path) -> Keyring:
    return generate(keys)


def vault_of(keys: Path) -> Vault:
    keyring = Keyring.load(keys)
    return Vault(keyring, EpochKeys(keys / "epochs", keyring))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_may_look_at_the_keys_of_the_user_that_relayd_runs_as(keys: Path, keyring: Keyring) -> None:
    # relayd doctor and relayd verify are run by root as well.
    os.chown(keys / "root.json", 12345, 12345)
    assert Keyring.load(keys)


def test_a_generated_keyring_is_private_and_is_never_replaced(keys: Path, keyring: Keyring) -> None:
    assert (keys / "root.json").stat().st_mode & 0o777 == 0o600
    assert keys.stat().st_mode & 0o777 == 0o700
    with pytest.raises(FileExistsError):
        generate(keys)
    assert Keyring.load(keys).primary == keyring.primary


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_keyring_that_others_can_read_is_refused(keys: Path, keyring: Keyring, mode: int) -> None:
    (keys / "root.json").chmod(mode)
    with pytest.raises(KeyUnavailable, match="0600"):
        Keyring.load(keys)


def test_a_read_only_keyring_is_fine(keys: Path, keyring: Keyring) -> None:
    (keys / "root.json").chmod(0o400)
    assert Keyring.load(keys).primary == keyring.primary


def test_a_missing_keyring_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable, match="keys generate"):
        Keyring.load(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b'{"version": 2, "roots": []}',
        b'{"version": 1, "roots": []}',
        b'{"version": 1, "roots": [{"id": "a", "state": "primary", "key": "AAAA"}]}',
        b'{"version": 1, "roots": [{"id": "a", "state": "retired", "key": "AAAA"}]}',
    ],
)
def test_a_broken_keyring_is_refused(keys: Path, keyring: Keyring, text: bytes) -> None:
    (keys / "root.json").write_bytes(text)
    with pytest.raises(KeyUnavailable):
        Keyring.load(keys)


def test_keys_do_not_show_in_a_repr(keyring: Keyring) -> None:
    root = Root("r1", "primary", b"\x41" * 32)
    assert "AAAA" not in repr(root)


def test_what_an_old_root_wrapped_opens_and_nothing_is_tried_on_suspicion(keys: Path, keyring: Keyring) -> None:
    key = vault_of(keys).new("hospital", WEEK, "m1")
    roots = msgspec.json.decode((keys / "root.json").read_bytes())["roots"]
    old = roots[0] | {"state": "decrypt-only"}
    fresh = {"id": "r2", "state": "primary", "key": roots[0]["key"][::-1].replace("=", "") + "="}
    (keys / "root.json").write_bytes(msgspec.json.encode({"version": 1, "roots": [old, fresh]}))
    assert vault_of(keys).open("hospital", WEEK, "m1", key.wrapped).message_id == "m1"
    (keys / "root.json").write_bytes(msgspec.json.encode({"version": 1, "roots": [fresh]}))
    with pytest.raises(KeyUnavailable, match=old["id"]):
        vault_of(keys).open("hospital", WEEK, "m1", key.wrapped)


def test_a_message_key_opens_what_it_sealed(keys: Path, keyring: Keyring) -> None:
    key = vault_of(keys).new("hospital", WEEK, "m1")
    sealed = key.seal("meta", b"subject")
    assert vault_of(keys).open("hospital", WEEK, "m1", key.wrapped).unseal("meta", sealed) == b"subject"


def test_a_part_is_bound_to_its_message_and_name(keys: Path, keyring: Keyring) -> None:
    vault = vault_of(keys)
    one, other = vault.new("hospital", WEEK, "m1"), vault.new("hospital", WEEK, "m2")
    sealed = one.seal("meta", b"subject")
    with pytest.raises(SealBroken):
        one.unseal("body", sealed)
    with pytest.raises(SealBroken):
        other.unseal("meta", sealed)


@pytest.mark.parametrize(("organisation", "message_id"), [("clinic", "m1"), ("hospital", "m2")])
def test_a_wrapped_key_is_bound_to_its_message(
    keys: Path, keyring: Keyring, organisation: str, message_id: str
) -> None:
    vault = vault_of(keys)
    vault.new("clinic", WEEK, "m0")
    wrapped = vault.new("hospital", WEEK, "m1").wrapped
    with pytest.raises((SealBroken, KeyUnavailable)):
        vault.open(organisation, WEEK, message_id, wrapped)


def test_one_flipped_bit_in_a_wrapped_key_is_noticed(keys: Path, keyring: Keyring) -> None:
    vault = vault_of(keys)
    wrapped = vault.new("hospital", WEEK, "m1").wrapped
    for place in range(len(wrapped)):
        altered = bytearray(wrapped)
        altered[place] ^= 1
        with pytest.raises((SealBroken, KeyUnavailable)):
            vault.open("hospital", WEEK, "m1", bytes(altered))


def test_an_emptied_key_is_gone_for_good(keys: Path, keyring: Keyring) -> None:
    vault_of(keys).new("hospital", WEEK, "m1")
    with pytest.raises(KeyDestroyed):
        vault_of(keys).open("hospital", WEEK, "m1", b"")


def test_a_destroyed_epoch_opens_nothing_in_any_process_and_is_never_made_again(keys: Path, keyring: Keyring) -> None:
    ours, theirs = EpochKeys(keys / "epochs", keyring), EpochKeys(keys / "epochs", keyring)
    key = Vault(keyring, ours).new("hospital", WEEK, "m1")
    assert Vault(keyring, theirs).open("hospital", WEEK, "m1", key.wrapped)
    ours.destroy("hospital", WEEK)
    ours.destroy("hospital", WEEK)
    for epochs in (ours, theirs, EpochKeys(keys / "epochs", keyring)):
        with pytest.raises(KeyDestroyed):
            Vault(keyring, epochs).open("hospital", WEEK, "m1", key.wrapped)
        with pytest.raises(KeyDestroyed):
            Vault(keyring, epochs).new("hospital", WEEK, "m2")
    assert ours.all() == []


def test_a_missing_epoch_key_is_not_mistaken_for_a_destroyed_one(keys: Path, keyring: Keyring) -> None:
    key = vault_of(keys).new("hospital", WEEK, "m1")
    shutil.rmtree(keys / "epochs")
    with pytest.raises(KeyUnavailable):
        vault_of(keys).open("hospital", WEEK, "m1", key.wrapped)


def test_epoch_keys_made_at_once_by_many_are_one_key(keys: Path, keyring: Keyring) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: EpochKeys(keys / "epochs", keyring).key("hospital", WEEK), range(32)))
    assert len(set(made)) == 1
    assert [path.name for path in (keys / "epochs" / "hospital").iterdir()] == [f"{WEEK}.json"]


@pytest.mark.parametrize("organisation", ["", ".", "..", "../../etc", "a/b", "zorg é"])
def test_an_organisation_is_one_folder_whatever_its_name(keys: Path, keyring: Keyring, organisation: str) -> None:
    epochs = EpochKeys(keys / "epochs", keyring)
    epochs.key(organisation, WEEK)
    assert len(list((keys / "epochs").glob("*/*.json"))) == 1
    assert {path.name for path in keys.parent.iterdir()} == {"keys"}


def test_all_lists_what_exists(keys: Path, keyring: Keyring) -> None:
    epochs = EpochKeys(keys / "epochs", keyring)
    for organisation in ("a.b", "a/b", ""):
        epochs.key(organisation, WEEK)
    assert epochs.all() == [("", WEEK), ("a.b", WEEK), ("a/b", WEEK)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_unavailable(keys: Path, keyring: Keyring) -> None:
    keys.chmod(0o500)
    with pytest.raises(KeyUnavailable):
        EpochKeys(keys / "epochs", keyring).key("hospital", WEEK)
    keys.chmod(0o700)


def test_values_open_for_their_purpose_only(keys: Path, keyring: Keyring) -> None:
    vault = vault_of(keys)
    sealed = vault.seal_value("code c1", b"123456")
    assert b"123456" not in sealed
    assert vault.unseal_value("code c1", sealed) == b"123456"
    with pytest.raises(SealBroken):
        vault.unseal_value("code c2", sealed)
    with pytest.raises((SealBroken, KeyUnavailable)):
        vault.unseal_value("code c1", sealed[:10])


@pytest.mark.parametrize(
    ("unix", "week"),
    [
        (1795391999.0, "2026-W47"),
        (1795392000.0, "2026-W48"),
        (1798675200.0, "2026-W53"),
        (1799020799.9, "2026-W53"),
        (1799020800.0, "2027-W01"),
    ],
)
def test_an_epoch_is_the_iso_week_in_utc(unix: float, week: str) -> None:
    assert epoch_of(unix) == week


PASSWORD = "7K3MQ9ZT04HW"


def test_a_protected_key_opens_with_its_password_only(keys: Path, keyring: Keyring) -> None:
    key = vault_of(keys).protect("hospital", WEEK, "m1", PASSWORD)
    sealed = key.seal("meta", b"subject")
    place = ("hospital", WEEK, "m1", key.wrapped)
    opened = vault_of(keys).open_with(*place, PASSWORD)
    assert opened is not None
    assert opened.unseal("meta", sealed) == b"subject"
    assert vault_of(keys).open_with(*place, "7K3MQ9ZT04HX") is None
    assert vault_of(keys).open_with(*place, "") is None
    with pytest.raises(PasswordNeeded):
        vault_of(keys).open(*place)


def test_a_password_is_worth_nothing_without_the_epochs_key(keys: Path, keyring: Keyring) -> None:
    key = vault_of(keys).protect("hospital", WEEK, "m1", PASSWORD)
    EpochKeys(keys / "epochs", keyring).destroy("hospital", WEEK)
    with pytest.raises(KeyDestroyed):
        vault_of(keys).open_with("hospital", WEEK, "m1", key.wrapped, PASSWORD)
    with pytest.raises(KeyDestroyed):
        vault_of(keys).open_with("hospital", WEEK, "m1", b"", PASSWORD)


def test_one_flipped_bit_in_a_protected_key_is_noticed(keys: Path, keyring: Keyring) -> None:
    vault = vault_of(keys)
    wrapped = vault.protect("hospital", WEEK, "m1", PASSWORD).wrapped
    for place in range(len(wrapped)):
        altered = bytearray(wrapped)
        altered[place] ^= 1
        with pytest.raises((SealBroken, KeyUnavailable)):
            vault.open_with("hospital", WEEK, "m1", bytes(altered), PASSWORD)
    with pytest.raises(SealBroken):
        vault.open_with("hospital", WEEK, "m2", wrapped, PASSWORD)
    with pytest.raises(SealBroken):
        vault.open_with("hospital", WEEK, "m1", vault.new("hospital", WEEK, "m1").wrapped, PASSWORD)


def test_a_key_for_a_holder_opens_for_that_holder_and_message_only(keys: Path, keyring: Keyring) -> None:
    key = vault_of(keys).protect("hospital", WEEK, "m1", PASSWORD)
    held, sealed = key.for_holder("cookie"), key.seal("body", b"text")
    place = ("hospital", WEEK, "m1", key.wrapped)
    assert MessageKey.of_holder(*place, held, "cookie").unseal("body", sealed) == b"text"
    with pytest.raises(SealBroken):
        MessageKey.of_holder(*place, held, "other")
    with pytest.raises(SealBroken):
        MessageKey.of_holder("hospital", WEEK, "m2", key.wrapped, held, "cookie")
    with pytest.raises(SealBroken):
        MessageKey.of_holder(*place, b"", "cookie")
