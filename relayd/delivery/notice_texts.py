"""The words of our notices to people, in Dutch and English."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Texts:
    """One language's words. ``{organisation}``, ``{date}`` and ``{recipient}`` are filled in."""

    greeting: str
    open: str
    leads: str
    never: str
    doubt: str
    via: str
    follow: str
    subject: str
    waiting: str
    how: str
    how_email: str
    how_access_code: str
    until: str
    keep: str
    subject_reminder: str
    waiting_still: str
    how_again: str
    subject_passed_on: str
    passed_on: str
    how_passed_on: str
    subject_code: str
    code: str
    code_nobody: str
    subject_confirmation: str
    confirmation: str
    confirmation_page: str
    alert_subject: str
    alert_wrong: str
    alert_locked: str
    alert_number_subject: str
    alert_number: str
    alert_advice: str
    subject_reply_failed: str
    reply_failed: str
    subject_forward_failed: str
    forward_failed: str
    subject_read: str
    read: str


TEXTS = {
    "nl": Texts(
        greeting="Goedendag,",
        open="Bericht openen",
        leads="Deze knop gaat naar",
        never="Wij vragen nooit om uw eigen wachtwoorden of om uw bankgegevens.",
        doubt="Twijfelt u of dit bericht echt is? Neem contact op met {organisation}.",
        via="via",
        follow="Bericht volgen",
        subject="Nieuw beveiligd bericht van {organisation}",
        waiting="Er staat een beveiligd bericht van {organisation} voor u klaar.",
        how="U opent het met een code die u per sms krijgt. U hebt geen account nodig.",
        how_email="U opent het met een code die u per e-mail krijgt. U hebt geen account nodig.",
        how_access_code="U opent het met de toegangscode die u van {organisation} kreeg. U hebt geen account nodig.",
        until="U kunt het bericht lezen tot {date}.",
        keep="Bewaar deze e-mail zolang: met deze link opent u het bericht opnieuw.",
        subject_reminder="Herinnering: beveiligd bericht van {organisation}",
        waiting_still="Er staat nog steeds een beveiligd bericht van {organisation} voor u klaar. U hebt het nog niet "
        "gelezen.",
        how_again="U opent het op dezelfde manier als in de eerste e-mail staat.",
        subject_passed_on="Een beveiligd bericht is aan u doorgestuurd",
        passed_on="{recipient} stuurt een beveiligd bericht van {organisation} aan u door.",
        how_passed_on="U opent het met een kenmerk en een wachtwoord. Die krijgt u van de persoon die het doorstuurt, "
        "niet per e-mail.",
        subject_code="Uw code voor het bericht van {organisation}",
        code="Uw code is {code} (kenmerk {reference}). Vul deze in op de pagina die u open hebt.",
        code_nobody="Geef deze code aan niemand. Hebt u geen code gevraagd? Dan hoeft u niets te doen.",
        subject_confirmation="Uw bericht staat klaar in de beveiligde lezer",
        confirmation="Uw bericht kan niet rechtstreeks beveiligd bij deze ontvangers komen. Zij kregen een e-mail met "
        "een link en lezen het met een code:",
        confirmation_page="Op de pagina hieronder ziet u wie het heeft gelezen. U kunt er een nummer verbeteren, de "
        "e-mail opnieuw laten sturen of het bericht intrekken. Deel deze link met niemand.",
        alert_subject="Verkeerde codes ingevoerd bij uw beveiligd bericht",
        alert_wrong="Bij het beveiligde bericht dat u op {date} stuurde aan {recipient} is meerdere keren een "
        "verkeerde code ingevoerd. Het bericht is niet geopend met die codes.",
        alert_locked="Bij het beveiligde bericht dat u op {date} stuurde aan {recipient} is zo vaak een verkeerde "
        "code ingevoerd dat het is geblokkeerd. Niemand kan het nu met een nieuwe code openen.",
        alert_number_subject="Het nummer bij uw beveiligd bericht klopt niet",
        alert_number="De ontvanger {recipient} van het beveiligde bericht dat u op {date} stuurde, laat weten dat het "
        "mobiele nummer niet klopt. Het bericht is nog niet gelezen.",
        alert_advice="Neem contact op met de ontvanger en controleer het mobiele nummer. Op de pagina waar u uw "
        "bericht volgt, kunt u het nummer verbeteren en een blokkade opheffen. De link kreeg u bij het versturen. "
        "Hebt u die niet? Vraag het uw beheerder.",
        subject_reply_failed="Uw antwoord aan {organisation} is niet aangekomen",
        reply_failed="Het antwoord dat u op {date} in de beveiligde lezer schreef aan {organisation}, kon niet worden "
        "afgeleverd.",
        subject_forward_failed="Het bericht dat u hebt doorgestuurd is niet aangekomen",
        forward_failed="Het bericht van {organisation} dat u op {date} hebt doorgestuurd, kon niet worden afgeleverd.",
        subject_read="Uw beveiligd bericht is gelezen",
        read="Uw beveiligde bericht is geopend door {recipient}.",
    ),
    "en": Texts(
        greeting="Hello,",
        open="Open the message",
        leads="This button leads to",
        never="We never ask for your own passwords or your bank details.",
        doubt="Not sure whether this message is real? Please contact {organisation}.",
        via="via",
        follow="Follow the message",
        subject="New secure message from {organisation}",
        waiting="A secure message from {organisation} is waiting for you.",
        how="You open it with a code that you get by SMS. You don't need an account.",
        how_email="You open it with a code that you get by e-mail. You don't need an account.",
        how_access_code="You open it with the access code that {organisation} gave you. You don't need an account.",
        until="You can read the message until {date}.",
        keep="Keep this e-mail until then: its link opens the message again.",
        subject_reminder="Reminder: secure message from {organisation}",
        waiting_still="A secure message from {organisation} is still waiting for you. You haven't read it yet.",
        how_again="You open it as the first e-mail says.",
        subject_passed_on="A secure message was passed on to you",
        passed_on="{recipient} passes a secure message from {organisation} on to you.",
        how_passed_on="You open it with a reference and a password. You get them from the person who passes it on, not "
        "by e-mail.",
        subject_code="Your code for the message from {organisation}",
        code="Your code is {code} (reference {reference}). Enter it on the page that you have open.",
        code_nobody="Give this code to nobody. Didn't you ask for one? Then you need not do anything.",
        subject_confirmation="Your message is ready in the secure reader",
        confirmation="Your message can't be delivered securely to these recipients directly. They got an e-mail with "
        "a link and read it with a code:",
        confirmation_page="On the page below you see who has read it. There you can correct a number, have the e-mail "
        "sent again, or withdraw the message. Share this link with nobody.",
        alert_subject="Wrong codes entered for your secure message",
        alert_wrong="A wrong code was entered several times for the secure message that you sent to {recipient} on "
        "{date}. The message wasn't opened with those codes.",
        alert_locked="A wrong code was entered so often for the secure message that you sent to {recipient} on "
        "{date} that it is locked. Nobody can open it with a new code now.",
        alert_number_subject="The number for your secure message isn't right",
        alert_number="The recipient {recipient} of the secure message that you sent on {date} says that the mobile "
        "number isn't right. The message hasn't been read yet.",
        alert_advice="Please contact the recipient and check the mobile number. On the page where you follow "
        "your message you can correct it and lift a lock. You got the link when you sent the message. Don't you have "
        "it? Ask your administrator.",
        subject_reply_failed="Your answer to {organisation} didn't arrive",
        reply_failed="The answer to {organisation} that you wrote in the secure reader on {date} couldn't be "
        "delivered.",
        subject_forward_failed="The message that you passed on didn't arrive",
        forward_failed="The message of {organisation} that you passed on on {date} couldn't be delivered.",
        subject_read="Your secure message was read",
        read="Your secure message was opened by {recipient}.",
    ),
}


def texts(language: str) -> Texts:
    """The words of ``language``, Dutch when there are none."""
    return TEXTS.get(language, TEXTS["nl"])
