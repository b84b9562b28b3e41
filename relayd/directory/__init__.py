"""Who is who: organisations, domainbook, NTA 7516 register, accounts. Immutable once loaded."""
