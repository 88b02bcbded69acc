"""The outside world for development and tests: a card provider, a mailbox, a ledger, and faults on demand."""
