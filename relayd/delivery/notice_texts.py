"""The words of our notices to people, in Dutch and English."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Texts:
    """One language's words. ``{organisation}``, ``{date}`` and ``{recipient}`` are filled in."""

    subject: str
    greeting: str
    waiting: str
    how: str
    open: str
    leads: str
    until: str
    keep: str
    never: str
    doubt: str
    via: str
    alert_subject: str
    alert_wrong: str
    alert_locked: str
    alert_advice: str


TEXTS = {
    "nl": Texts(
        subject="Nieuw beveiligd bericht van {organisation}",
        greeting="Goedendag,",
        waiting="Er staat een beveiligd bericht van {organisation} voor u klaar.",
        how="U opent het met een code die u per sms krijgt. U heeft geen account nodig.",
        open="Bericht openen",
        leads="Deze knop gaat naar",
        until="U kunt het bericht lezen tot {date}.",
        keep="Bewaar deze e-mail zolang: met deze link opent u het bericht opnieuw.",
        never="Wij vragen nooit om een wachtwoord of om bankgegevens.",
        doubt="Twijfelt u of dit bericht echt is? Neem contact op met {organisation}.",
        via="via",
        alert_subject="Verkeerde codes ingevoerd bij uw beveiligd bericht",
        alert_wrong="Bij het beveiligde bericht dat u op {date} stuurde aan {recipient} is herhaaldelijk een verkeerde "
        "toegangscode ingevoerd. Het bericht is niet geopend met die codes.",
        alert_locked="Bij het beveiligde bericht dat u op {date} stuurde aan {recipient} is zo vaak een verkeerde "
        "toegangscode ingevoerd dat het is geblokkeerd. Niemand kan het nu met een nieuwe code openen.",
        alert_advice="Neem contact op met de ontvanger en controleer het mobiele nummer. Uw beheerder kan een "
        "blokkade opheffen.",
    ),
    "en": Texts(
        subject="New secure message from {organisation}",
        greeting="Hello,",
        waiting="A secure message from {organisation} is waiting for you.",
        how="You open it with a code that you get by SMS. You don't need an account.",
        open="Open the message",
        leads="This button leads to",
        until="You can read the message until {date}.",
        keep="Keep this e-mail until then: its link opens the message again.",
        never="We never ask for a password or for bank details.",
        doubt="Not sure whether this message is real? Please contact {organisation}.",
        via="via",
        alert_subject="Wrong codes entered for your secure message",
        alert_wrong="A wrong access code was entered repeatedly for the secure message that you sent to {recipient} on "
        "{date}. The message wasn't opened with those codes.",
        alert_locked="A wrong access code was entered so often for the secure message that you sent to {recipient} on "
        "{date} that it is locked. Nobody can open it with a new code now.",
        alert_advice="Please contact the recipient and check the mobile number. Your administrator can lift a lock.",
    ),
}


def texts(language: str) -> Texts:
    """The words of ``language``, Dutch when there are none."""
    return TEXTS.get(language, TEXTS["nl"])
