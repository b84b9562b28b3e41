"""Signatures and checks of who wrote a message."""
