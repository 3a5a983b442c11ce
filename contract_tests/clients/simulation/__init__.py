"""A client of Python's in one process with the emulator: real bytes, virtual time, one thread at a time.

`Simulation` is the whole of it. The client's own sockets are replaced by ends of socket pairs whose other ends are
HTTP servers without I/O, and its clocks by that of the emulated tenant, so that nothing waits and nothing is left to
chance: the same scenario gives the same bytes.
"""
