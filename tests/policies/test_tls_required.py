"""Who may ask for less security, and who hears that it isn't possible."""

from __future__ import annotations

import msgspec
import pytest

from policies.tls_required import TlsRequiredPolicy
from relayd.directory.directory import Directory, Organisation, OrganisationSettings, Origin, Via
from relayd.mail.address import Domain
from relayd.pipeline.policy import Options, Stage
from relayd.pipeline.verdict import Pass, Refuse
from tests.kit.judging import STRANGER, context, listed, mail

NO = "From: a@secure.example\nTLS-Required: No\n\nhello\n"
RECOGNISED = {name: Origin(Via.NETWORK, (name,)) for name in ("secure", "relaxed")}


def organisation(name: str, *, allow_plain: bool) -> Organisation:
    settings = OrganisationSettings(allow_plain=allow_plain)
    return Organisation(name, name, frozenset({Domain(f"{name}.example")}), settings=settings)


DIRECTORY = Directory(
    {"secure": organisation("secure", allow_plain=False), "relaxed": organisation("relaxed", allow_plain=True)},
    {},
    {},
    {},
    {},
)


@pytest.mark.parametrize(
    ("content", "origin", "sender", "refused"),
    [
        (NO, RECOGNISED["secure"], "a@secure.example", True),
        (NO, RECOGNISED["secure"], "", True),
        (NO, RECOGNISED["relaxed"], "a@relaxed.example", False),
        (NO, STRANGER, "a@elsewhere.example", False),
        ("From: a@secure.example\n\nhello\n", RECOGNISED["secure"], "a@secure.example", False),
        (NO.replace("No", "Yes"), RECOGNISED["secure"], "a@secure.example", False),
        ("TLS-Required: No\n" + NO, RECOGNISED["secure"], "a@secure.example", False),
    ],
)
async def test_the_table(content: str, origin: Origin, sender: str, refused: bool) -> None:
    judged = mail(content, sender=sender, to=["b@x.example"], origin=origin)
    (verdict,) = listed(await TlsRequiredPolicy(Options()).judge(judged, Stage.MESSAGE, context(DIRECTORY)))
    assert isinstance(verdict, Refuse if refused else Pass)
    if isinstance(verdict, Refuse):
        assert (verdict.reply.code, verdict.reply.enhanced) == (550, "5.7.1")
        assert "TLS-Required" in verdict.reply.text


async def test_with_requiretls_the_header_does_not_count() -> None:
    """RFC 8689 §3."""
    judged = mail(NO, sender="a@secure.example", to=["b@x.example"], origin=RECOGNISED["secure"])
    strict = msgspec.structs.replace(judged, envelope=msgspec.structs.replace(judged.envelope, require_tls=True))
    (verdict,) = listed(await TlsRequiredPolicy(Options()).judge(strict, Stage.MESSAGE, context(DIRECTORY)))
    assert isinstance(verdict, Pass)
