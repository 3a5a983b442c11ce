"""Checks of recorded traffic against the contract: messages, whole jobs, drift."""
