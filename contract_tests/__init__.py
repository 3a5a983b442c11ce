"""Reserved for checks of responses against the contract, and of clients; empty so far."""
