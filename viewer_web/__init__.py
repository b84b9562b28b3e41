"""The Viewer: the web reader for outsiders, opened with a link and an access code."""
