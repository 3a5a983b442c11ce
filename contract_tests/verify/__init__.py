"""A conformance run against a live API: what is called, what it may cost, and what came of it."""
