"""What follows from an outcome: the new state, the next attempt, the journal's record, and the report that is due.

Pure: outcome, settings and time go in, values come out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from relayd.journal import kinds
from relayd.journal.event import Event
from relayd.mail.dsn import Action, wants_report
from relayd.mail.envelope import Notify
from relayd.queue.outcome import Outcome, Result
from relayd.queue.retry import delay_notice_due, next_attempt
from relayd.settings.models import QueueSettings
from relayd.store.records import Delivery, Message, Settlement, State

_FINAL: Final = {
    Result.DELIVERED: (State.DELIVERED, kinds.DELIVERED),
    Result.RELAYED: (State.RELAYED, kinds.RELAYED),
    Result.FAILED: (State.FAILED, kinds.FAILED),
}

#: Delivery time expired (RFC 3463 §3.5).
EXPIRED: Final = "5.4.7"


@dataclass(frozen=True, slots=True)
class Reported:
    """One recipient of a report: what is said of it, and why. ``status`` is what the report says, which after expiry
    isn't what the peer said."""

    delivery: Delivery
    outcome: Outcome
    action: Action
    status: str


@dataclass(frozen=True, slots=True)
class Aftermath:
    """A settlement without its report, and what the report would say."""

    settlement: Settlement
    reported: Reported | None = None


def aftermath(
    message: Message,
    delivery: Delivery,
    outcome: Outcome,
    now: float,
    settings: QueueSettings,
    random: Callable[[], float],
) -> Aftermath:
    """What becomes of ``delivery`` after a try that ended in ``outcome``."""
    if outcome.result in _FINAL:
        state, kind = _FINAL[outcome.result]
        settlement = _settlement(delivery, outcome, state, Event(now, kind, delivery.recipient, _facts(outcome)))
        return Aftermath(settlement, _report(message, delivery, outcome, _final_action(delivery, outcome)))
    kind = kinds.AMBIGUOUS if outcome.result is Result.AMBIGUOUS else kinds.DEFERRED
    tried = Event(now, kind, delivery.recipient, _facts(outcome))
    again = next_attempt(message.received_at, delivery.attempts + 1, now, settings.schedule, settings.lifetime, random)
    if again is None:
        expired = Event(now, kinds.EXPIRED, delivery.recipient, {"attempts": delivery.attempts + 1})
        settlement = _settlement(delivery, outcome, State.FAILED, tried, expired)
        return Aftermath(settlement, _report(message, delivery, outcome, Action.FAILED, EXPIRED))
    late = delay_notice_due(message.received_at, now, delivery.delayed_notice, settings.delay_notice)
    told = _report(message, delivery, outcome, Action.DELAYED) if late else None
    events = (tried, Event(now, kinds.DELAY_NOTICED, delivery.recipient)) if told else (tried,)
    state = State.QUEUED if delivery.route else State.UNDECIDED
    settlement = _settlement(delivery, outcome, state, *events, again=again, told=True if told else None)
    return Aftermath(settlement, told)


def set_aside(delivery: Delivery, reason: str, now: float) -> Aftermath:
    """What only an operator can judge: held, and said why."""
    held = Event(now, kinds.HELD, delivery.recipient, {"by": "relayd", "reason": reason})
    outcome = Outcome(delivery.number, Result.DEFERRED, "4.3.0", reason)
    return Aftermath(_settlement(delivery, outcome, State.HELD, held))


def given_back(delivery: Delivery, due: float) -> Aftermath:
    """Not tried after all; anyone may take it from ``due`` on."""
    return Aftermath(
        Settlement(
            message_id=delivery.message_id,
            number=delivery.number,
            generation=delivery.generation,
            state=delivery.state,
            next_attempt=due,
            counts_as_attempt=False,
        )
    )


def _settlement(
    delivery: Delivery,
    outcome: Outcome,
    state: State,
    *events: Event,
    again: float = 0.0,
    told: bool | None = None,
) -> Settlement:
    return Settlement(
        message_id=delivery.message_id,
        number=delivery.number,
        generation=delivery.generation,
        state=state,
        next_attempt=again,
        last_reply=outcome.reply,
        delayed_notice=told,
        events=events,
        follow_ups=outcome.follow_ups,
        operations=outcome.operations,
    )


def _final_action(delivery: Delivery, outcome: Outcome) -> Action | None:
    if outcome.result is Result.FAILED:
        return Action.FAILED
    if outcome.result is Result.RELAYED:
        return Action.RELAYED
    # RFC 3461 §5.2.2: a next hop that knows DSN took over the duty to report.
    return None if delivery.route == "relay" else Action.DELIVERED


def _notify(delivery: Delivery) -> frozenset[Notify] | None:
    return None if delivery.notify is None else frozenset(Notify(word) for word in delivery.notify.split(","))


def _report(
    message: Message, delivery: Delivery, outcome: Outcome, action: Action | None, status: str = ""
) -> Reported | None:
    # RFC 3461 §6.2: never a report to the null sender, which a report itself has.
    if action is None or not message.sender or not wants_report(_notify(delivery), action):
        return None
    return Reported(delivery, outcome, action, status or outcome.status)


def _facts(outcome: Outcome) -> dict[str, Any]:
    facts: dict[str, Any] = {"status": outcome.status, "reply": outcome.reply}
    if outcome.next_hop:
        facts["next_hop"] = outcome.next_hop
    if outcome.tls is not None:
        tls = outcome.tls
        facts["tls"] = f"{tls.version} {tls.cipher} {'verified' if tls.proof else 'not verified'}"
        if tls.proof:
            facts["proof"] = tls.proof
    return facts | outcome.facts
