"""What a server may do to a client that is legal, and hard to live with."""
