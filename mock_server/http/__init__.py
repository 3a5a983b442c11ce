"""The HTTP/1.1 server: `reader` turns bytes into environs, `connection` is one client, `server` listens."""
