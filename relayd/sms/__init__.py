"""Sending access codes by SMS: numbers, the text, and the ways out."""
