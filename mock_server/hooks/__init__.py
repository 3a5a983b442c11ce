"""Webhooks leaving the emulator: which addresses may be called (`rules`), and the call itself (`deliverer`)."""
