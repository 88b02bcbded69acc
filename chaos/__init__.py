"""The chaos run: a whole shop under load while its parts are killed, then the books are checked."""
