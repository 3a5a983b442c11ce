"""Clients in any language: commands and drivers, processes of their own, over real sockets and in real time.

`check_command` in `check` is the way in. Each scenario has servers of its own, on ports of their own, so that several
clients can run at once and what one of them leaves behind reaches nobody else.
"""
