"""The replies that the server gives of its own accord. What the door decides brings its own."""

from __future__ import annotations

from typing import Final

from relayd.mail.reply import Reply

# RFC 5321 §4.2.2, enhanced codes of RFC 3463; RFC 2034 §4 exempts the greeting, EHLO and 3yz.
OK: Final = Reply(250, "2.0.0", "OK")
BYE: Final = Reply(221, "2.0.0", "Goodbye")
START_INPUT: Final = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
READY_FOR_TLS: Final = Reply(220, "2.0.0", "Ready to start TLS")

SHUTTING_DOWN: Final = Reply(421, "4.3.2", "Service is shutting down; try again")
IDLE: Final = Reply(421, "4.4.2", "Nothing heard for too long; closing")
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "Too many errors; closing")
TOO_MANY_COMMANDS: Final = Reply(421, "4.7.0", "Too many commands; closing")
TOO_MUCH_DATA: Final = Reply(421, "4.3.4", "Far more data than the announced limit; closing")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients; send the rest in another transaction")
LOGIN_LATER: Final = Reply(454, "4.7.0", "Too many failed logins; try again later")
TLS_UNAVAILABLE: Final = Reply(454, "4.7.0", "TLS is not available for the moment")

UNRECOGNISED: Final = Reply(500, "5.5.2", "Command not recognised")
LINE_TOO_LONG: Final = Reply(500, "5.5.2", "Command line too long")
BROKEN_LINE: Final = Reply(500, "5.5.2", "Lines end in CRLF and hold no other CR, LF or NUL; closing")
NO_ARGUMENT_ALLOWED: Final = Reply(501, "5.5.4", "This command takes no argument")
BAD_HELO: Final = Reply(501, "5.5.4", "Give your host name or address literal")
BAD_ARGUMENT: Final = Reply(501, "5.5.4", "Argument not understood")
CANCELLED: Final = Reply(501, "5.7.0", "Authentication cancelled")
NOT_IMPLEMENTED: Final = Reply(502, "5.5.1", "Command not implemented")
HELO_FIRST: Final = Reply(503, "5.5.1", "Say EHLO first")
MAIL_FIRST: Final = Reply(503, "5.5.1", "Say MAIL first")
IN_TRANSACTION: Final = Reply(503, "5.5.1", "Not within a mail transaction")
CHUNKS_BEGUN: Final = Reply(503, "5.5.1", "BDAT has begun; only BDAT, RSET or QUIT may follow")
ALREADY_TLS: Final = Reply(503, "5.5.1", "TLS is active already")
ALREADY_LOGGED_IN: Final = Reply(503, "5.5.1", "Already authenticated")
OUT_OF_STEP: Final = Reply(503, "5.5.0", "Input came before the reply to this command; closing")
SPOKE_FIRST: Final = Reply(554, "5.5.0", "Input came before the greeting; closing")
PROXY_REFUSED: Final = Reply(554, "5.7.1", "PROXY is not accepted from this address; closing")
NO_RECIPIENTS: Final = Reply(554, "5.5.1", "No valid recipients")
UNKNOWN_MECHANISM: Final = Reply(504, "5.5.4", "Authentication mechanism not supported")
NEEDS_TLS: Final = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
NEEDS_LOGIN: Final = Reply(530, "5.7.0", "Authentication required")
LOGIN_FAILED: Final = Reply(535, "5.7.8", "Authentication credentials invalid")
LOGIN_NEEDS_TLS: Final = Reply(538, "5.7.11", "Encryption required for authentication")
BARE_LINE_END: Final = Reply(550, "5.6.0", "The message holds a bare CR, a bare LF or a NUL (RFC 5321 section 2.3.8)")
HEADER_TOO_LARGE: Final = Reply(552, "5.3.4", "The message's header section is too large")
NEEDS_SMTPUTF8: Final = Reply(553, "5.6.7", "An address beyond ASCII needs the SMTPUTF8 parameter")
NEEDS_EHLO: Final = Reply(555, "5.5.4", "Parameters need EHLO")


def too_large(limit: int) -> Reply:
    """RFC 1870 §6.1: the announced or the counted size is beyond our SIZE."""
    return Reply(552, "5.3.4", f"The message is larger than {limit} octets")
