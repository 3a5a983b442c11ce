"""The emulator inside the process of its client: the real API's own addresses, and no socket.

Each adapter imports the HTTP client that it is for; nothing else does.
"""
