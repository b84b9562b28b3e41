"""An SMTP session against a tiny model of RFC 5321's states: any order of commands, any replies of the door."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.kit.smtp_dialogue import Client
from tests.kit.smtp_door import make_limits, running

T = TypeVar("T")
LINES = st.lists(st.sampled_from(["", "a: b", ".", "..", "text", ".text", "x" * 3000]), max_size=6)


class SessionMachine(RuleBasedStateMachine):
    """The model: whether EHLO was said, the sender's transaction, its recipients, whether chunks have begun."""

    @initialize()
    def connect(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.server = running(limits=make_limits(errors=100_000, recipients=100))
        self.running = self.run(self.server.__aenter__())
        self.client = self.run(Client.connect("127.0.0.1", self.running.port))
        assert self.run(self.client.reply())[0].startswith("220 ")
        self.greeted = self.transaction = self.chunks = False
        self.recipients = 0
        self.begun = 0
        self.messages: list[bytes] = []
        self.partial = b""

    def run(self, awaitable: Awaitable[T]) -> T:
        async def within() -> T:
            return await awaitable

        return self.loop.run_until_complete(within())

    def say(self, line: str, code: str) -> None:
        assert self.run(self.client.say(line)).startswith(code), line

    def forget(self) -> None:
        self.transaction = self.chunks = False
        self.recipients = 0
        self.partial = b""

    @rule(verb=st.sampled_from(["EHLO", "HELO", "ehlo"]))
    def greet(self, verb: str) -> None:
        self.say(f"{verb} client.example", "250")
        self.greeted = True
        self.forget()

    @rule(word=st.sampled_from(["NOOP", "NOOP x", "HELP"]))
    def idle(self, word: str) -> None:
        self.say(word, "2")

    @rule()
    def reset(self) -> None:
        self.say("RSET", "250")
        self.forget()

    @rule(sender=st.sampled_from(["<>", "<a@b.example>", "<no@b.example>", "broken"]))
    def mail(self, sender: str) -> None:
        if not self.greeted or self.transaction:
            code = "503"
        else:
            code = {"<no@b.example>": "550", "broken": "501"}.get(sender, "250")
        self.say(f"MAIL FROM:{sender}", code)
        if code == "250":
            self.transaction = True
            self.begun += 1

    @rule(recipient=st.sampled_from(["<c@d.example>", "<no@d.example>", "<later@d.example>", "<>"]))
    def rcpt(self, recipient: str) -> None:
        if not self.transaction or self.chunks:
            code = "503"
        elif self.recipients >= 100:
            code = "452"
        else:
            code = {"<no@d.example>": "550", "<later@d.example>": "450", "<>": "501"}.get(recipient, "250")
        self.say(f"RCPT TO:{recipient}", code)
        self.recipients += code == "250"

    @rule(lines=LINES, bare=st.booleans())
    def data(self, lines: list[str], bare: bool) -> None:
        if not self.transaction or self.chunks or not self.recipients:
            self.say("DATA", "554" if self.transaction and not self.chunks else "503")
            return
        self.say("DATA", "354")
        content = "".join(line + "\r\n" for line in lines).encode()
        stuffed = "".join("." * line.startswith(".") + line + "\r\n" for line in lines)
        if bare:
            stuffed += "bare\n.\r\n"
        self.say(stuffed + ".", "550" if bare else "250")
        if not bare:
            self.messages.append(content)
        self.forget()

    @rule(content=st.binary(max_size=30).map(lambda octets: octets.translate(None, b"\r\n\0")), last=st.booleans())
    def bdat(self, content: bytes, last: bool) -> None:
        chunk = content + b"\r\n" * last
        header = f"BDAT {len(chunk)}{' LAST' * last}\r\n"
        self.client.send(header.encode() + chunk)
        reply = self.run(self.client.reply())[-1]
        if not self.transaction or not self.recipients:
            assert reply.startswith("554" if self.transaction else "503")
            return
        assert reply.startswith("250")
        self.chunks = True
        self.partial += chunk
        if last:
            self.messages.append(self.partial)
            self.forget()

    @precondition(lambda self: self.begun)
    @rule()
    def nothing_is_lost_or_made_up(self) -> None:
        door = self.running.door
        assert [taken.body for taken in door.messages] == self.messages
        assert len(door.taken) == self.begun
        ended = sum(taken.committed + taken.abandoned for taken in door.taken)
        assert ended == self.begun - self.transaction

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        self.run(self.client.close())
        self.run(self.server.__aexit__(None, None, None))
        assert self.running.door.present == 0
        assert all(taken.committed + taken.abandoned == 1 for taken in self.running.door.taken)
        self.loop.close()


SessionMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestSession = SessionMachine.TestCase
