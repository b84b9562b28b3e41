"""What is durable: rows in SQLite, sealed bodies in segment files, limits counted machine-wide."""
