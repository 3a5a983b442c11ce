"""Property tests of clients: hostile but legal servers are drawn, a client lives through them, a verdict comes out."""
