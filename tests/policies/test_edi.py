"""EDI in the in-box: which rule a mail meets, and whom the gateway's addresses stand for."""

from __future__ import annotations

from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest

from policies.edi import EdiPolicy
from policies.sender import SenderOptions, SenderPolicy
from relayd.directory.directory import Delivers, Directory, DomainEntry, Organisation, OrganisationSettings, Origin, Via
from relayd.mail.address import Domain, parse_address
from relayd.pipeline.policy import Options, Stage
from relayd.pipeline.verdict import Pass, Redirect, Refuse, RouteKind, RouteTo, Transform, Verdict
from relayd.settings.edi import EdiRuleSettings
from tests.kit import judging

SAMPLES = Path(__file__).parents[1] / "edi" / "samples"
MEDLAB = (SAMPLES / "medlab_full_latin1_crlf.edi").read_bytes()
MEDVRI = (SAMPLES / "medvri_full_latin1_crlf.edi").read_bytes()
OUL = (SAMPLES / "oul_r22_lab2lab_latin1.hl7").read_bytes()

LAB = "lab@noord.example"
ANNA = "anna@praktijk.example"
PRACTICE, HOSPITAL, GATEWAY = Domain("praktijk.example"), Domain("noord.example"), Domain("gateway.example")
NOORD = Origin(Via.CERTIFICATE, ("noord",))


def rule(**words: Any) -> EdiRuleSettings:
    return EdiRuleSettings.model_validate({"form": "html"} | words)


def directory(*rules: EdiRuleSettings, outside: str = "untouched") -> Directory:
    organisations = {
        "noord": Organisation(
            "noord", "Noord", frozenset({HOSPITAL}), settings=OrganisationSettings(edi_outside=outside)
        ),
        "praktijk": Organisation(
            "praktijk", "Praktijk", frozenset({PRACTICE}), settings=OrganisationSettings(edi_rules=rules)
        ),
    }
    domainbook = {
        PRACTICE: DomainEntry(PRACTICE, Delivers.RELAY, "praktijk"),
        Domain("partner.example"): DomainEntry(Domain("partner.example"), Delivers.RELAY, network="partners"),
    }
    return Directory(
        organisations,
        domainbook,
        {},
        {},
        {},
        folders=frozenset({"lab"}),
        folder_names={"lab": "{type}-{message}-{number}.{extension}"},
        edi_gateway=GATEWAY,
        edi_numbers={"500000002": parse_address(ANNA), "labnoord": parse_address("lims@praktijk.example")},
    )


def mail_of(*leaves: bytes, text: str = "", subtype: str = "octet-stream") -> bytes:
    """A mail with these attachments; one alone is the whole content."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = LAB, ANNA, "Uitslag"
    if text:
        mail.set_content(text)
    for number, leaf in enumerate(leaves):
        if text or len(leaves) > 1:
            mail.add_attachment(leaf, maintype="application", subtype=subtype, filename=f"{number}.dat")
        else:
            mail.set_content(leaf, maintype="application", subtype=subtype)
    return mail.as_bytes(policy=SMTP)


async def judged(
    content: bytes, known: Directory, *to: str, stage: Stage = Stage.ROUTE, sender: str = LAB, origin: Origin = NOORD
) -> list[Verdict]:
    mail = judging.mail(content, sender=sender, to=to or (ANNA,), origin=origin)
    said = await EdiPolicy(Options()).judge(mail, stage, judging.context(known))
    return said if isinstance(said, list) else [said]


def forms(verdicts: list[Verdict]) -> dict[str, str]:
    return {
        key: one.transformation.option("form")
        for one in verdicts
        if isinstance(one, Transform)
        for key in one.recipients
    }


@pytest.mark.parametrize(
    ("rules", "content", "form"),
    [
        ([rule()], MEDLAB, "html"),
        ([rule(type="medlab")], MEDLAB, "html"),
        ([rule(type="MED*", version="1")], MEDLAB, "html"),
        ([rule(type="MEDVRI")], MEDLAB, None),
        ([rule(version="2*")], MEDLAB, None),
        ([rule(sender="500000001")], MEDLAB, "html"),
        ([rule(sender="5000000?2")], MEDLAB, None),
        ([rule(sender="*^LABZUID", type="OUL^*")], OUL, "html"),
        ([rule(format="hl7")], MEDLAB, None),
        ([rule(format="hl7", form="pdf")], OUL, "pdf"),
        ([rule(mailboxes=["anna@*"])], MEDLAB, "html"),
        ([rule(mailboxes=["bram@*", "info@*"])], MEDLAB, None),
        ([rule(type="MEDVRI", form="pdf"), rule()], MEDLAB, "html"),
        ([rule(form="untouched"), rule(form="pdf")], MEDLAB, None),
        ([rule(form="edifact")], MEDLAB, None),
        ([rule(form="edifact")], OUL, "edifact"),
        ([], MEDLAB, None),
    ],
)
async def test_the_first_rule_that_fits_decides(rules: list[EdiRuleSettings], content: bytes, form: str | None) -> None:
    verdicts = await judged(mail_of(content), directory(*rules))
    assert forms(verdicts).get(ANNA) == form
    assert all("500000001" not in one.reason for one in verdicts)


@pytest.mark.parametrize(
    "content",
    [
        mail_of(MEDLAB, subtype="pdf"),
        mail_of(MEDLAB, text="Beste collega"),
        mail_of(b"no EDI", MEDLAB, text="Beste collega"),
        b"From: lab@noord.example\r\n\r\n" + MEDVRI.replace(b"MEDVRI", b"MEDLAB"),
        b"From: lab@noord.example\r\nContent-Type: message/rfc822\r\n\r\n" + mail_of(MEDLAB),
    ],
)
async def test_edi_is_found_wherever_it_is(content: bytes) -> None:
    assert forms(await judged(content, directory(rule(type="MEDLAB")))) == {ANNA: "html"}


@pytest.mark.parametrize(
    "content",
    [
        mail_of(text="Een brief"),
        b"From: lab@noord.example\r\nContent-Type: text/html\r\n\r\nUNB+UNOA:1+1+2+3:4+5'UNH+1+MEDLAB:1'\r\n",
        mail_of(b"<?xml version='1.0'?><invoice/>", subtype="xml"),
        b"no header at all",
    ],
)
async def test_other_mail_is_left_alone(content: bytes) -> None:
    assert await judged(content, directory(rule())) == []


async def test_mail_for_people_without_rules_isnt_looked_into() -> None:
    class Closed(judging.MemoryBody):
        def blocks(self, start: int = 0, length: int | None = None) -> Any:
            raise AssertionError("nobody reads this")

    mail = judging.mail(mail_of(MEDLAB), sender=LAB, to=["x@partner.example", "p@outside.example"], origin=NOORD)
    closed = type(mail)(**{**{f: getattr(mail, f) for f in mail.__struct_fields__}, "body": Closed(mail_of(MEDLAB))})
    assert await EdiPolicy(Options()).judge(closed, Stage.ROUTE, judging.context(directory(rule()))) == []


async def test_a_report_on_a_mail_stays_what_it_is() -> None:
    assert await judged(mail_of(MEDLAB), directory(rule()), sender="") == []


async def test_a_folder_is_a_route_with_files_of_its_own_names() -> None:
    known = directory(rule(form="folder", folder="lab", receipt=True))
    transform, route = await judged(mail_of(MEDLAB), known)
    assert isinstance(route, RouteTo)
    assert isinstance(transform, Transform)
    assert (route.route.kind, route.route.target) == (RouteKind.FOLDER, "lab")
    assert transform.transformation.option("names") == "{type}-m1-{number}.{extension}"
    assert transform.transformation.option("receipt") == "yes"


@pytest.mark.parametrize(("to", "form"), [("p@outside.example", "pdf"), ("x@partner.example", None)])
async def test_people_outside_get_what_the_sender_set(to: str, form: str | None) -> None:
    assert forms(await judged(mail_of(MEDLAB), directory(rule(), outside="pdf"), to)).get(to) == form


async def test_a_strangers_mail_to_outside_has_no_rules() -> None:
    stranger = Origin(Via.STRANGER)
    assert await judged(mail_of(MEDLAB), directory(outside="pdf"), "p@outside.example", origin=stranger) == []


async def test_content_that_names_its_type_after_a_patient_reaches_no_reason() -> None:
    named = MEDLAB.replace(b"MEDLAB:1", b"Mevrouw Jansen:1")
    verdicts = await judged(mail_of(named), directory(rule()))
    assert verdicts
    assert all("Jansen" not in one.reason for one in verdicts)


@pytest.mark.parametrize(
    ("address", "content", "outcome"),
    [
        ("edi@gateway.example", mail_of(MEDLAB), ANNA),
        ("EDI@Gateway.example", mail_of(MEDLAB, text="Beste collega"), ANNA),
        ("edi@gateway.example", mail_of(MEDLAB, MEDVRI), ANNA),
        ("edi@gateway.example", mail_of(OUL.replace(b"|LABNOORD|", b"|LABNOORD|")), "lims@praktijk.example"),
        ("500000002@gateway.example", mail_of(text="Een gewone brief"), ANNA),
        ("edi@gateway.example", mail_of(text="Een gewone brief"), "550 5.6.1"),
        ("edi@gateway.example", mail_of(MEDLAB.replace(b"500000002", b"500000009")), "550 5.1.1"),
        ("edi@gateway.example", mail_of(MEDLAB, OUL), "550 5.6.0"),
        ("edi@gateway.example", mail_of(MEDLAB, MEDVRI.replace(b"500000002", b"500000009")), "550 5.1.1"),
        ("edi@gateway.example", mail_of((SAMPLES / "medvri_no_unb_bare_message.edi").read_bytes()), "550 5.1.1"),
        ("500000009@gateway.example", mail_of(MEDLAB), "550 5.1.1"),
        ("jan@gateway.example", mail_of(MEDLAB), "550 5.1.1"),
    ],
)
async def test_the_gateway_finds_the_mailbox_or_says_why_not(address: str, content: bytes, outcome: str) -> None:
    (verdict,) = await judged(content, directory(), address, stage=Stage.MESSAGE)
    if isinstance(verdict, Redirect):
        assert str(verdict.to) == outcome
    else:
        assert isinstance(verdict, Refuse)
        assert str(verdict.reply).startswith(outcome)


async def test_a_receiver_behind_the_first_octets_is_found_too() -> None:
    first = MEDVRI.replace(b"TXT:1+", b"TXT:1+" + b"x" * 70 + b"'\r\nTXT+", 1)
    padded = first.replace(b"GGO+", b"TXT+" + b"'\r\nTXT+".join([b"y" * 60] * 3000) + b"'\r\nGGO+", 1)
    content = padded + b"\r\n" + MEDLAB.replace(b"500000002", b"500000009")
    (verdict,) = await judged(mail_of(content), directory(), "edi@gateway.example", stage=Stage.MESSAGE)
    assert isinstance(verdict, Refuse)
    assert "500000009" in verdict.reply.text


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("edi@gateway.example", Pass),
        ("500000002@gateway.example", Pass),
        ("500000009@gateway.example", Refuse),
        ("jan@gateway.example", Refuse),
    ],
)
async def test_an_unknown_number_is_refused_at_the_door(address: str, kind: type[Verdict]) -> None:
    mail = judging.mail(sender=LAB, to=[address], origin=NOORD)
    (verdict,) = await EdiPolicy(Options()).judge(mail, Stage.RECIPIENT, judging.context(directory()))  # type: ignore[misc]
    assert isinstance(verdict, kind)


async def test_a_reply_repeats_a_number_and_nothing_else_of_the_message() -> None:
    for receiver, told in ((b"500000009", True), (b"Mevrouw Jansen", False)):
        content = mail_of(MEDLAB.replace(b"500000002", receiver))
        (verdict,) = await judged(content, directory(), "edi@gateway.example", stage=Stage.MESSAGE)
        assert isinstance(verdict, Refuse)
        assert (receiver.decode() in verdict.reply.text) is told


async def test_one_organisations_rules_are_not_anothers() -> None:
    known = directory(rule())
    other = Organisation("zuid", "Zuid", frozenset({Domain("zuid.example")}))
    known = replace(
        known,
        organisations={**known.organisations, "zuid": other},
        domainbook={
            **known.domainbook,
            Domain("zuid.example"): DomainEntry(Domain("zuid.example"), Delivers.RELAY, "zuid"),
        },
    )
    assert forms(await judged(mail_of(MEDLAB), known, ANNA, "x@zuid.example")) == {ANNA: "html"}


@pytest.mark.parametrize(
    ("address", "kind"),
    [("edi@gateway.example", Pass), ("500000002@gateway.example", Pass), ("x@elsewhere.example", Refuse)],
)
async def test_strangers_reach_the_gateway_and_nobody_behind_it_that_isnt_served(
    address: str, kind: type[Verdict]
) -> None:
    mail = judging.mail(sender="lab@outside.example", to=[address], origin=judging.STRANGER)
    said = await SenderPolicy(SenderOptions()).judge(mail, Stage.RECIPIENT, judging.context(directory()))
    assert isinstance(said, list)
    assert isinstance(said[0], kind)
