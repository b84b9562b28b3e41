"""The running service: supervisor, workers, reload, signals."""
