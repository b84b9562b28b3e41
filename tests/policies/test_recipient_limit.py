"""At most so many people per message, however the message is spread."""

from __future__ import annotations

from policies.recipient_limit import RecipientLimitOptions, RecipientLimitPolicy
from relayd.directory.directory import Origin, Via
from relayd.pipeline.policy import Context, Stage
from relayd.pipeline.verdict import Refuse, Verdict
from tests.kit.judging import STRANGER, MemoryLimits, context, listed, mail

CLINIC = Origin(Via.NETWORK, ("clinic",))


def people(first: int, last: int) -> list[str]:
    return [f"p{number}@x.example" for number in range(first, last + 1)]


async def judge(
    to: list[str],
    head: str = "",
    *,
    around: Context | None = None,
    origin: Origin = CLINIC,
    sender: str = "d@clinic.example",
    message_id: str = "<1@clinic.example>",
) -> Verdict:
    content = f"From: d@clinic.example\nMessage-ID: {message_id}\n{head}\nHi\n"
    shown = mail(content, sender=sender, to=to, origin=origin)
    policy = RecipientLimitPolicy(RecipientLimitOptions())
    (verdict,) = listed(await policy.judge(shown, Stage.MESSAGE, around or context()))
    return verdict


def is_refused(verdict: Verdict) -> bool:
    if isinstance(verdict, Refuse):
        assert (verdict.reply.code, verdict.reply.enhanced, verdict.recipients) == (550, "5.5.3", ())
        return True
    return False


async def test_a_hundred_pass_and_one_more_does_not() -> None:
    assert not is_refused(await judge(people(1, 100)))
    assert is_refused(await judge(people(1, 101)))


async def test_headers_and_envelope_count_together() -> None:
    to, cc, bcc = people(1, 40), people(41, 80), people(81, 101)
    head = f"To: {', '.join(to)}\nCc: {', '.join(cc)}\nBcc: group: {', '.join(bcc)};\n"
    assert is_refused(await judge(["p1@x.example"], head))
    assert not is_refused(await judge(people(1, 100), f"To: {', '.join(to)}\nCc: {', '.join(cc)}\n"))


async def test_one_person_counts_once() -> None:
    same = ["P1@x.example", "p1@X.EXAMPLE", "p1@x.example"]
    assert not is_refused(await judge([*people(1, 100), *same], f"To: {', '.join(same)}\n"))
    assert not is_refused(await judge(["p@xn--bcher-kva.example"] * 2, "To: p@b\u00fccher.example\n"))


async def test_transactions_of_one_message_count_together() -> None:
    around = context()
    assert not is_refused(await judge(people(1, 50), around=around))
    assert not is_refused(await judge(people(51, 100), around=around))
    assert not is_refused(await judge(people(1, 50), around=around)), "the same people again are nobody new"
    assert is_refused(await judge(people(101, 101), around=around))


async def test_other_messages_and_other_senders_count_on_their_own() -> None:
    around = context()
    await judge(people(1, 100), around=around)
    assert not is_refused(await judge(people(101, 150), around=around, message_id="<2@clinic.example>"))
    assert not is_refused(await judge(people(101, 150), around=around, sender="e@clinic.example"))
    other = Origin(Via.ACCOUNT, ("clinic",), account="e@clinic.example")
    assert not is_refused(await judge(people(101, 150), around=around, origin=other))


async def test_strangers_cannot_use_up_anybodys_message() -> None:
    around = context()
    for start in range(1, 1000, 100):
        assert not is_refused(await judge(people(start, start + 99), around=around, origin=STRANGER))
    assert not is_refused(await judge(people(1, 1), around=around))


async def test_no_address_is_kept_in_the_counters() -> None:
    limits = MemoryLimits()
    await judge(people(1, 3), around=context(limits=limits))
    assert limits.sets
    kept = repr(limits.sets)
    assert "x.example" not in kept
    assert "clinic" not in kept
