"""`results.json` and the PAIR score, with the standard library alone."""
