"""Checks of responses against the contract, and of clients against the API's nastier moods."""
