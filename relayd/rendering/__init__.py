"""HTML made harmless, HTML to PDF and PDF to pictures, in a process of its own that may be killed at any moment."""
