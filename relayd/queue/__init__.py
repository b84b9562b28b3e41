"""When and in which lane a delivery is tried, and what follows from its outcome."""
