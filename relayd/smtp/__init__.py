"""The SMTP server, one file per verb."""
