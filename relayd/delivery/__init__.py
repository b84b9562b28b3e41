"""The ways out, one file per route."""
