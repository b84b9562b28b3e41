"""Addresses, paths and parameters of RFC 5321, RFC 3461 and RFC 6531."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.errors import SyntaxInvalid
from relayd.mail.address import NULL_SENDER, Address, Domain, normalise_domain, parse_address
from relayd.mail.envelope import BodyType, Notify, Ret
from relayd.mail.parameters import (
    MailParameters,
    RcptParameters,
    UnknownParameter,
    decode_xtext,
    encode_xtext,
    parse_mail_parameters,
    parse_rcpt_parameters,
)  # fmt: skip
from relayd.mail.path import NeedsSmtputf8, parse_forward_path, parse_reverse_path

PIECES = st.lists(
    st.sampled_from(["<", ">", "@", "a", "b.nl", '"', "\\", " ", ":", ",", "[", "]", "IPv6:::1", "é", "\ud800", "+2B",
                     "=", ";", "SIZE=1", "ORCPT=utf-8;\\x{110000}", "\0", "xn--", "。", "."]), max_size=12,
).map("".join)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("Example.NL.", "example.nl"), ("bücher.example", "xn--bcher-kva.example"), ("例え。jp", "xn--r8jz45g.jp"),
        ("[192.0.2.1]", "[192.0.2.1]"), ("[ipv6:2001:DB8::0]", "[IPv6:2001:db8::]"), ("localhost", "localhost"),
    ],
)  # fmt: skip
def test_domains(text: str, domain: str) -> None:
    assert normalise_domain(text) == domain


@pytest.mark.parametrize(
    "text",
    ["", ".", "a..b", "-a.nl", "a_b.nl", "192.0.2.1", "[192.0.2]", "[::1]", "[IPv6:::1%eth0]", "a b", "a" * 64 + ".nl",
     "a." * 127 + "nl", "\ud800.nl"],
)  # fmt: skip
def test_no_domains(text: str) -> None:
    with pytest.raises(SyntaxInvalid):
        normalise_domain(text)


def test_paths() -> None:
    jan = Address("Jan", Domain("b.nl"))
    assert parse_reverse_path("<> BODY=7BIT", smtputf8=False) == (NULL_SENDER, "BODY=7BIT")
    assert parse_reverse_path(" <@x.nl,@[IPv6:::1]:Jan@B.nl>", smtputf8=False) == (jan, "")
    assert parse_forward_path('<"a b\\"c"@b.nl>', smtputf8=False, hostname="h")[0].local == 'a b"c'
    assert parse_forward_path("<PostMaster>", smtputf8=False, hostname="h.nl")[0] == Address(
        "postmaster", Domain("h.nl")
    )
    assert parse_forward_path("<jös@b.nl>", smtputf8=True, hostname="h")[0].local == "jös"
    with pytest.raises(NeedsSmtputf8):
        parse_forward_path("<jös@b.nl>", smtputf8=False, hostname="h")


@pytest.mark.parametrize(
    "text",
    ["", "a@b.nl", "<a@b.nl", "<a@b.nl>SIZE=1", "<a>", "<a@>", "<@b.nl>", "<a.@b.nl>", "<a@b@c.nl>", "<@x:@y:a@b.nl>",
     "<a b@c.nl>", "<<a@b.nl>>", "<" + "a" * 65 + "@b.nl>", '<"a\r\n"@b.nl>', "<a@b.nl >"],
)  # fmt: skip
def test_no_paths(text: str) -> None:
    with pytest.raises(SyntaxInvalid):
        parse_reverse_path(text, smtputf8=True)


@given(PIECES | st.text(), st.booleans())
def test_parsers_raise_nothing_but_syntax_invalid(text: str, smtputf8: bool) -> None:
    for parse in (
        lambda: parse_reverse_path(text, smtputf8=smtputf8),
        lambda: parse_forward_path(text, smtputf8=smtputf8, hostname="h"),
        lambda: parse_mail_parameters(text),
        lambda: parse_rcpt_parameters(text, smtputf8=smtputf8),
        lambda: normalise_domain(text),
        lambda: parse_address(text),
        lambda: decode_xtext(text),
    ):
        try:
            parse()
        except SyntaxInvalid:
            pass


@given(PIECES)
def test_what_parses_is_written_back_the_same(text: str) -> None:
    try:
        address = parse_address(text)
    except SyntaxInvalid:
        return
    assert parse_address(str(address)) == address


def test_mail_parameters() -> None:
    assert parse_mail_parameters("size=100 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=Qq+2Bx AUTH=<>") == MailParameters(
        100, BodyType.EIGHT_BIT_MIME, True, Ret.HEADERS, "Qq+2Bx", "<>"
    )
    assert parse_mail_parameters("") == MailParameters()


def test_rcpt_parameters() -> None:
    assert parse_rcpt_parameters("NOTIFY=success,DELAY ORCPT=rfc822;Bob+2BA@x") == RcptParameters(
        frozenset({Notify.SUCCESS, Notify.DELAY}), "rfc822;Bob+2BA@x"
    )


@pytest.mark.parametrize(
    "text",
    ["SIZE", "SIZE=x", "SIZE=1 SIZE=1", "BODY=BINARYMIME", "SMTPUTF8=1", "RET=ALL", "ENVID=a=b", "ENVID=+0D+0A",
     "ENVID=+2b", "ENVID=" + "a" * 101, "AUTH", "=1", "SIZE=", "SIZE=" + "1" * 21],
)  # fmt: skip
def test_invalid_mail_parameters(text: str) -> None:
    with pytest.raises(SyntaxInvalid) as caught:
        parse_mail_parameters(text)
    assert not isinstance(caught.value, UnknownParameter)


@pytest.mark.parametrize("text", ["NOTIFY", "NOTIFY=NEVER,DELAY", "NOTIFY=", "ORCPT=x", "ORCPT=rfc822;a+0Ab"])
def test_invalid_rcpt_parameters(text: str) -> None:
    with pytest.raises(SyntaxInvalid):
        parse_rcpt_parameters(text)


def test_unknown_parameters() -> None:
    with pytest.raises(UnknownParameter):
        parse_mail_parameters("MT-PRIORITY=3")
    with pytest.raises(UnknownParameter):
        parse_rcpt_parameters("SIZE=3")


@given(st.text(st.characters(max_codepoint=127)))
def test_xtext_round_trip(text: str) -> None:
    assert decode_xtext(encode_xtext(text)) == text
