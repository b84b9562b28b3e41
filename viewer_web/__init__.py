"""The Viewer: a web reader for people whose mail server can't be trusted to be secure."""
