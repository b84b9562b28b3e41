"""Structured log and metrics. Nothing personal passes through here."""
