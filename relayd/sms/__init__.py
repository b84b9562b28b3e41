"""Text messages: one file per sender."""
