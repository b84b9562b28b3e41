"""internet.nl's test of a mail domain, restated: the rules that need no more than DNS and a connection."""
