"""The append-only record of what happened to a message."""
