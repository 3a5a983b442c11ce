"""The zoo: clients that do all right, and clients that get one thing wrong in the way that real code does."""
