"""`relayd doctor` on systems that take HL7."""

from __future__ import annotations

from relayd.cli.doctor_systems import systems
from relayd.cli.findings import Level
from relayd.dns.resolver import DnsResolver
from relayd.settings.models import Configuration
from relayd.settings.values import address_and_port
from tests.kit.mllp import System
from tests.kit.ports import free_port
from tests.kit.site import Site


async def test_a_system_is_reached_or_it_is_told_why_not(tmp_path):
    site = Site(tmp_path)
    ca = str(site.authority.certificate)
    with System(site.authority, site.partner) as system:
        good = {"address": f"127.0.0.1:{system.port}", "tls_name": "mail.partner.example", "ca_file": ca}
        site.relayd["systems"] = {
            "good": good,
            "misnamed": good | {"tls_name": "his.example"},
            "away": good | {"address": f"127.0.0.1:{free_port()}"},
        }
        configuration = Configuration.model_validate(site.relayd)
        found = await systems(configuration, DnsResolver(*address_and_port(configuration.resolver)))
        assert [one.level for one in found] == [Level.OK, Level.BAD, Level.BAD]
        assert "mismatch" in found[1].text
        assert "refused" in found[2].text
        assert system.messages == []
