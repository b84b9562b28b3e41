"""Headers that two programs read differently: nobody sends with an author that some reader takes for another's.

Each trick shows ``y@zuid.example`` to some reader; the sender may use addresses of noord.example only.
"""

from __future__ import annotations

import email
import email.policy
from email.utils import getaddresses

import pytest

from policies.sender import SenderOptions, SenderPolicy
from relayd.directory.directory import Directory, Organisation, Origin, Via
from relayd.mail.address import Domain
from relayd.pipeline.policy import Stage
from relayd.pipeline.verdict import Refuse
from tests.kit.judging import context, listed, mail

DIRECTORY = Directory(
    {
        name: Organisation(name, name, frozenset({Domain(f"{name}.example")}))
        for name in ("noord", "zuid")
    },
    {}, {}, {}, {},
    owners={Domain(f"{name}.example"): name for name in ("noord", "zuid")},
)  # fmt: skip
MINE, THEIRS = "x@noord.example", "y@zuid.example"

TRICKS = {
    "two fields": f"From: {MINE}\r\nFrom: {THEIRS}\r\n",
    "two fields, the other way round": f"From: {THEIRS}\r\nFrom: {MINE}\r\n",
    "two fields, other case": f"From: {MINE}\r\nfRoM: {THEIRS}\r\n",
    "white space before the colon": f"From: {MINE}\r\nFrom : {THEIRS}\r\n",
    "a tab before the colon": f"From\t: {THEIRS}\r\nFrom: {MINE}\r\n",
    "a field that begins with a fold": f" From: {THEIRS}\r\nFrom: {MINE}\r\n",
    "a fold after a line of white space": f"From: {MINE}\r\n \t\r\n <{THEIRS}>\r\n",
    "two addresses": f"From: {MINE}, {THEIRS}\r\n",
    "two addresses, no comma": f"From: <{MINE}> <{THEIRS}>\r\n",
    "two addresses, a semicolon": f"From: {MINE}; {THEIRS}\r\n",
    "a group": f"From: team: {MINE}, {THEIRS};\r\n",
    "a group's name": f"From: {THEIRS}: {MINE};\r\n",
    "a bare address as name": f"From: {THEIRS} <{MINE}>\r\n",
    "an encoded word as name": f"From: =?utf-8?q?y=40zuid=2Eexample?= <{MINE}>\r\n",
    "an encoded word that closes": f"From: =?utf-8?q?=3Cy=40zuid=2Eexample=3E?= <{MINE}>\r\n",
    "encoded words that join": f"From: =?utf-8?q?y=40zuid?= =?utf-8?q?=2Eexample?= <{MINE}>\r\n",
    "an encoded word with white space": f"From: =?utf-8?q?y y@zuid.example?= <{MINE}>\r\n",
    "an encoded word in a comment": f"From: {MINE} (=?utf-8?q?y=40zuid=2Eexample?=)\r\n",
    "an encoded word in base64": f"From: =?utf-8?b?eUB6dWlkLmV4YW1wbGU=?= <{MINE}>\r\n",
    "an encoded word as address": "From: =?utf-8?q?y=40zuid=2Eexample?=@noord.example\r\n",
    "a comment within": "From: y@zuid.example(@noord.example)\r\n",
    "a comment before the domain": "From: y@(x@noord.example)zuid.example\r\n",
    "white space within": "From: y @zuid.example\r\n",
    "a source route": f"From: <@noord.example:{THEIRS}>\r\n",
    "a quote that stays open": f'From: "x <{MINE}>, {THEIRS}\r\n',
    "a comment that stays open": f"From: {THEIRS} (x <{MINE}>\r\n",
    "an angle that stays open": f"From: {MINE} <{THEIRS}\r\n",
    "angles within angles": f"From: <{MINE}<{THEIRS}>>\r\n",
    "a backslash before the quote": f'From: "x\\" <{THEIRS}>, " <{MINE}>\r\n',
    "a control character": f"From: <{MINE}>\x0b, <{THEIRS}>\r\n",
    "octets of no charset": f"From: \xff <{THEIRS}>\r\n",
    "another dot": "From: y@zuid\uff0eexample\r\n",
    "full-width letters": "From: y@\uff5auid.example\r\n",
    "a dot behind": "From: y@zuid.example.\r\n",
    "the sender field": f"From: {MINE}\r\nSender: {THEIRS}\r\n",
    "two sender fields": f"From: {MINE}\r\nSender: {MINE}\r\nSender: {THEIRS}\r\n",
    "nothing at all": f"Reply-To: {THEIRS}\r\n",
    "an empty field": f"From:\r\nReply-To: {THEIRS}\r\n",
    "very long": f"From: {MINE}" + f", {MINE}" * 2000 + f", {THEIRS}\r\n",
}
HONEST = {
    "bare": f"From: {MINE}\r\n",
    "a name": f"From: Dr. X <{MINE}>\r\n",
    "a quoted name": f'From: "X, of North" <{MINE}>\r\n',
    "an address as quoted name": f'From: "{MINE}" <{MINE}>\r\n',
    "an encoded name": f"From: =?utf-8?q?J=C3=B6rg?= <{MINE}>\r\n",
    "folded": f"From:\r\n =?utf-8?q?J=C3=B6rg?=\r\n <{MINE}>\r\n",
    "a comment": f"From: {MINE} (X)\r\n",
    "other case": "FROM: X@NOORD.EXAMPLE\r\n",
    "in UTF-8": f"From: J\xf6rg <{MINE}>\r\n",
    "a sender": f"From: {MINE}, z@noord.example\r\nSender: {MINE}\r\n",
}


async def refused(head: str) -> bool:
    origin = Origin(Via.NETWORK, ("noord",))
    content = head.encode("latin-1" if "\xff" in head else "utf-8") + b"\r\nHi\r\n"
    whole = mail(content, sender=MINE, to=["r@outside.example"], origin=origin)
    verdicts = listed(await SenderPolicy(SenderOptions()).judge(whole, Stage.MESSAGE, context(DIRECTORY)))
    assert all(verdict.reason for verdict in verdicts)
    return any(isinstance(verdict, Refuse) for verdict in verdicts)


@pytest.mark.parametrize("name", TRICKS)
async def test_no_author_that_any_reader_sees_is_somebody_elses(name: str) -> None:
    assert await refused(TRICKS[name])


@pytest.mark.parametrize("name", HONEST)
async def test_honest_headers_pass(name: str) -> None:
    assert not await refused(HONEST[name])


@pytest.mark.parametrize("name", TRICKS)
async def test_the_standard_librarys_reading_is_among_those_looked_at(name: str) -> None:
    """With the two addresses exchanged: where Python sees somebody else's, the message is refused."""
    head = TRICKS[name].replace("noord", "\0").replace("zuid", "noord").replace("\0", "zuid")
    message = email.message_from_string(head + "\r\nHi\r\n", policy=email.policy.compat32)
    seen = getaddresses([*message.get_all("from", []), *message.get_all("sender", [])])
    if any("zuid" in address for _, address in seen):
        assert await refused(head)
