"""Networks, each one readable, with its configuration beside it."""
