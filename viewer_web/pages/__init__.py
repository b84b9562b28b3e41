"""The Viewer's pages, one module each."""
