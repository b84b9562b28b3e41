"""Asks the policies, in the order of the file, and lets nothing that one of them does harm a message.

An exception, a timeout or a verdict that can't be becomes what the policy's ``on_error`` says. The log gets the class
and place of the exception and never its text, which may quote the message.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import traceback
from collections.abc import Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import coroutine
from typing import Any, Final, TypeVar

import structlog
from msgspec.structs import replace

from relayd.directory.directory import STRANGER, Directory
from relayd.mail.address import Address
from relayd.mail.envelope import Recipient
from relayd.mail.headers import Headers
from relayd.mail.parameters import encode_xtext
from relayd.mail.reply import Reply
from relayd.pipeline.plan import (
    Judged,
    Plan,
    identified,
    make_plan,
    make_retry_plan,
    refused_recipients,
    settled,
)
from relayd.pipeline.policy import Context, Mail, OnError, Policy, Stage
from relayd.pipeline.verdict import (
    TRANSFORMS,
    Defer,
    Identify,
    MessageClass,
    Pass,
    Redirect,
    Refuse,
    Rewrite,
    RouteKind,
    RouteTarget,
    RouteTo,
    Transform,
    Verdict,
)

__all__ = ["Judged", "Pipeline", "Step", "answer"]

log = structlog.get_logger("relayd.pipeline")

Said = TypeVar("Said")

_CHECK_FAILED_FOR_NOW: Final = Reply(451, "4.3.0", "A check of this message could not be completed; try again later")
_CHECK_FAILED: Final = Reply(554, "5.3.0", "A check of this message could not be completed")
_LINES = re.compile(rb"(?:[!-9;-~]+:[^\r\n\0]*\r\n(?:[ \t][^\r\n\0]*\r\n)*)*")


@dataclass(frozen=True, slots=True)
class Step:
    """One policy at its place in the pipeline. ``timeout`` is in seconds."""

    policy: Policy[Any]
    timeout: float
    on_error: OnError


def answer(judged: Sequence[Judged]) -> Reply | None:
    """The reply at MAIL or RCPT that ``judged`` comes to; None lets the command pass."""
    return next((one.verdict.reply for one in judged if isinstance(one.verdict, Refuse | Defer)), None)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """All policies in order. An immutable value: a session ends with the pipeline that it began with."""

    steps: tuple[Step, ...]
    _by_stage: Mapping[Stage, Sequence[Step]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_stage = {stage: [step for step in self.steps if stage in step.policy.stages] for stage in Stage}
        object.__setattr__(self, "_by_stage", by_stage)

    async def judge_sender(self, mail: Mail, context: Context) -> list[Judged]:
        """Ask at MAIL. Ends with the first refusal or deferral, which :func:`answer` finds."""
        return await self._until_answered(mail, Stage.SENDER, context)

    async def judge_recipient(self, mail: Mail, context: Context) -> list[Judged]:
        """Ask at RCPT about the one recipient in ``mail.recipients``."""
        return await self._until_answered(mail, Stage.RECIPIENT, context)

    async def judge_message(self, mail: Mail, context: Context, earlier: Sequence[Judged] = ()) -> Plan:
        """Ask after the end of data. ``earlier`` is what was judged at MAIL and at the accepted RCPTs."""
        judged = [*earlier]
        mail = _as_identified(mail, judged)
        for step in self._by_stage[Stage.MESSAGE]:
            fresh = await _ask(step, mail, Stage.MESSAGE, context)
            judged += fresh
            if answer(fresh):
                break
            mail = _as_identified(mail, fresh)
            mail, judged = _as_redirected(mail, judged, fresh)
        else:
            judged = await self._route(mail, context, judged)
        return make_plan(judged, _headers(mail), mail.recipients, context.clock.now())

    async def judge_routes(self, mail: Mail, context: Context) -> Plan:
        """Ask again about the undecided recipients, which are ``mail.recipients``."""
        judged = await self._route(mail, context, [], one_for_all=False)
        return make_retry_plan(judged, _headers(mail), mail.recipients, context.clock.now())

    async def _route(
        self, mail: Mail, context: Context, judged: list[Judged], *, one_for_all: bool = True
    ) -> list[Judged]:
        """Each policy is asked about those who have neither a route nor a deferral yet."""
        everyone = mail.recipients
        for step in self._by_stage[Stage.ROUTE]:
            routes, deferred = settled(judged)
            done = routes.keys() | deferred.keys() | refused_recipients(judged).keys()
            waiting = tuple(recipient for recipient in everyone if recipient.address.key not in done)
            if not waiting:
                break
            fresh = await _ask(step, replace(mail, recipients=waiting), Stage.ROUTE, context)
            judged = [*judged, *fresh]
            if one_for_all and any(isinstance(one.verdict, Refuse) for one in fresh):
                break
        return judged

    async def _until_answered(self, mail: Mail, stage: Stage, context: Context) -> list[Judged]:
        judged: list[Judged] = []
        for step in self._by_stage[stage]:
            judged += await _ask(step, mail, stage, context)
            if answer(judged):
                break
        return judged


def _headers(mail: Mail) -> Headers:
    return mail.headers if mail.headers is not None else Headers(b"")


def _as_identified(mail: Mail, judged: Sequence[Judged]) -> Mail:
    """``mail`` as later policies see it once a proof has picked one of the origin's candidates."""
    organisation = identified(judged)
    if organisation is None:
        return mail
    return replace(mail, origin=replace(mail.origin, candidates=(organisation,)) if organisation else STRANGER)


def _as_redirected(mail: Mail, judged: list[Judged], fresh: Sequence[Judged]) -> tuple[Mail, list[Judged]]:
    """``mail`` with the mailboxes that recipients turned out to stand for, and what was said about these so far."""
    targets = {
        key: one.verdict.to for one in fresh if isinstance(one.verdict, Redirect) for key in one.verdict.recipients
    }
    if not targets:
        return mail, judged
    recipients: dict[str, Recipient] = {}
    for recipient in mail.recipients:
        if to := targets.get(recipient.address.key):
            written = str(recipient.address)
            orcpt = f"rfc822;{encode_xtext(written)}" if written.isascii() else None
            recipient = replace(recipient, address=to, orcpt=recipient.orcpt or orcpt)
        recipients.setdefault(recipient.address.key, recipient)
    return replace(mail, recipients=tuple(recipients.values())), [_about_targets(one, targets) for one in judged]


def _about_targets(one: Judged, targets: Mapping[str, Address]) -> Judged:
    """What was said after the end of data about somebody is true of the mailbox that he stands for."""
    verdict = one.verdict
    if one.stage is not Stage.MESSAGE or isinstance(verdict, Redirect) or targets.keys().isdisjoint(verdict.recipients):
        return one
    keys = tuple(targets[key].key if key in targets else key for key in verdict.recipients)
    return replace(one, verdict=replace(verdict, recipients=keys))


async def _ask(step: Step, mail: Mail, stage: Stage, context: Context) -> list[Judged]:
    """The policy's verdicts, or the one that stands for its failure."""
    name = step.policy.name
    start = context.clock.boot()
    error = ""
    try:
        said = await _within(step.timeout, step.policy.judge(mail, stage, context))
        verdicts = said if isinstance(said, list) else [said]
        if flaw := next((flaw for verdict in verdicts if (flaw := _flaw(verdict, stage, mail, context.directory))), ""):
            error = f"impossible verdict: {flaw}"
    except TimeoutError:
        error = "timeout"
    except Exception as problem:
        error = type(problem).__name__ + _place(problem, step.policy)
    elapsed = context.clock.boot() - start
    if error:
        log.error("policy failed", policy=name, stage=stage.value, error=error, id=mail.id, means=step.on_error.value)
        verdicts = [_failure(step, error)]
    verdicts = verdicts or [Pass("no objection")]
    return [Judged(name, stage, _about(verdict, stage, mail), elapsed, error) for verdict in verdicts]


async def _within(seconds: float, judging: Coroutine[Any, Any, Said]) -> Said:
    """What ``judging`` returns; TimeoutError when it takes longer than ``seconds``.

    Most policies never wait for anything, and a timer for each would cost more than their judgement. So it is run up
    to the first thing that it waits for, and only from there on is its time taken.
    """
    try:
        awaited = judging.send(None)
    except StopIteration as done:
        said: Said = done.value
        return said
    async with asyncio.timeout(seconds):
        return await _go_on(judging, awaited)


@coroutine
def _go_on(judging: Coroutine[Any, Any, Said], awaited: Any) -> Generator[Any, Any, Said]:
    """The rest of a coroutine that waits for ``awaited``."""
    while True:
        try:
            sent = yield awaited
        except BaseException as error:
            step = partial(judging.throw, error)
        else:
            step = partial(judging.send, sent)
        try:
            awaited = step()
        except StopIteration as done:
            said: Said = done.value
            return said


def _place(error: Exception, policy: Policy[Any]) -> str:
    """The last line of the policy's own file that ``error`` passed; "" when it passed none."""
    file = inspect.getfile(type(policy))
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" at {Path(file).name}:{lines[-1]}" if lines else ""


def _about(verdict: Verdict, stage: Stage, mail: Mail) -> Verdict:
    """A route, and what is said at ROUTE, is about the recipients that the policy was asked about."""
    if verdict.recipients:
        return verdict
    if isinstance(verdict, RouteTo) or (stage is Stage.ROUTE and isinstance(verdict, Defer | Refuse | Transform)):
        return replace(verdict, recipients=tuple(recipient.address.key for recipient in mail.recipients))
    return verdict


def _failure(step: Step, error: str) -> Verdict:
    reason = f"the policy failed ({error})"
    if step.on_error is OnError.REFUSE:
        return Refuse(reason, reply=_CHECK_FAILED)
    if step.on_error is OnError.DEFER:
        return Defer(reason, reply=_CHECK_FAILED_FOR_NOW)
    return Pass(f"{reason}, and may be skipped")


def _flaw(verdict: object, stage: Stage, mail: Mail, directory: Directory) -> str:
    """What is impossible about ``verdict``, "" when nothing."""
    if not isinstance(verdict, Verdict):
        return type(verdict).__name__
    if isinstance(verdict, Redirect) and (stage is not Stage.MESSAGE or not verdict.recipients):
        return "recipients are redirected by name, at the stage message"
    if isinstance(verdict, Transform) and verdict.transformation.name not in TRANSFORMS:
        return f"there is no transform {verdict.transformation.name}"
    if verdict.recipients and not {one.address.key for one in mail.recipients}.issuperset(verdict.recipients):
        return "it names a recipient that it wasn't asked about"
    if isinstance(verdict, Refuse) and not verdict.reply.permanent:
        return "a refusal needs a 5yz reply"
    if isinstance(verdict, Defer) and not verdict.reply.temporary:
        return "a deferral needs a 4yz reply"
    if isinstance(verdict, RouteTo) and verdict.route.message_class is MessageClass.NOTICE:
        return "only relayd's own mail is a notice"
    if isinstance(verdict, RouteTo) and not _leads_somewhere(verdict.route, directory):
        return f"relayd.yaml has no {verdict.route.kind} called {verdict.route.target}"
    if isinstance(verdict, Rewrite) and not _LINES.fullmatch(verdict.put):
        return "put must be whole header lines that end in CRLF"
    if isinstance(verdict, Identify) and verdict.organisation not in ("", *mail.origin.candidates):
        return "the sender can't be that organisation"
    return ""


def _leads_somewhere(route: RouteTarget, directory: Directory) -> bool:
    """A mailbox store or folder must be one of relayd.yaml: what goes nowhere would be accepted and never arrive."""
    if route.kind is RouteKind.MAILBOX:
        return route.target in directory.mailbox_stores
    if route.kind is RouteKind.SYSTEM:
        return route.target in directory.systems
    return route.kind is not RouteKind.FOLDER or route.target in directory.folders
