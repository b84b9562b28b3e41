"""Sending access codes by SMS: numbers, the text, and the ways out."""

from relayd.sms.sender import make_sender

__all__ = ["make_sender"]
