"""The Viewer as it runs: its store behind the socket, its messages forgotten by the purge."""

from __future__ import annotations

import dataclasses

from relayd.store.client import StoreClient
from relayd.store.purge import Purge
from relayd.store.server import serve
from relayd.vault.epochs import EpochKeys
from relayd.vault.keyring import Keyring
from tests.kit.viewer import DAY, MOBILE, PATIENT, open_site
from viewer_web.app import create_app


async def test_everything_works_over_the_socket(tmp_path):
    async with open_site(tmp_path) as site:
        server = await serve(site.store, tmp_path / "s.sock")
        client = StoreClient(tmp_path / "s.sock")
        services = dataclasses.replace(site.services, store=client)
        far = dataclasses.replace(site, services=services, app=create_app(services))
        try:
            sent = await far.deposit(attachments=(("a.pdf", "application/pdf", b"%PDF" * 100),))
            person = far.person()
            await person.read(sent, site.phone)
            base = person.base
            assert "De uitslag is goed." in (await person.get(f"{base}/body")).text
            assert (await person.get(f"{base}/attachment/part-2")).content == b"%PDF" * 100
            await person.get(base)
            await person.press("/extend")
            await far.keep_house()
            await person.press("/logout")
            assert (await person.get(base)).status_code == 403
            assert await client.call("viewer_revoke", message_id=sent.message_id, recipient=PATIENT) == 1
            assert (await person.get(sent.path)).status_code == 410
        finally:
            await client.close()
            await server.close()


async def test_purge_takes_the_recipient_along_and_leaves_a_link_that_says_so(tmp_path):
    async with open_site(tmp_path) as site:
        sent = await site.deposit()
        await site.person().ask(sent)
        site.clock.pass_(110 * DAY)
        folder = tmp_path / "keys"
        epochs = EpochKeys(folder / "epochs", Keyring.load(folder))
        for _ in range(3):
            await Purge(site.store, epochs, site.blobs, site.clock, None).run()
        page = await site.person().get(sent.path)
        assert (page.status_code, "niet meer beschikbaar" in page.text) == (410, True)
        grants = await site.store.call("viewer_due_notices")
        assert grants == []
    data = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert b"viewer_grant" in data
    assert PATIENT.encode() not in data
    assert MOBILE.encode() not in data
