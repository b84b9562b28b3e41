"""The verbs of SMTP, one file each. See ``relayd.smtp.server``."""

from relayd.smtp.verbs import auth, bdat, data, ehlo, help, mail, noop, proxy, quit, rcpt, rset, starttls, vrfy

__all__ = [
    "auth",
    "bdat",
    "data",
    "ehlo",
    "help",
    "mail",
    "noop",
    "proxy",
    "quit",
    "rcpt",
    "rset",
    "starttls",
    "vrfy",
]
