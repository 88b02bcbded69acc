"""What it costs to encrypt one payload, and to decrypt it: ``python -m benchmarks.encryption``."""

import os
from collections.abc import Callable
from functools import partial
from timeit import repeat

from rich.console import Console
from temporalio.api.common.v1 import Payload

from runtime.payload_codec import Encryption

TIMES, ROUNDS = 5_000, 5


def microseconds(what: Callable[[], object]) -> float:
    return min(repeat(what, number=TIMES, repeat=ROUNDS)) / TIMES * 1e6


def main() -> None:
    codec, console = Encryption({"2026": os.urandom(32)}), Console()
    for size in (200, 1_000, 10_000):
        payload = Payload(metadata={"encoding": b"json/plain"}, data=b"x" * size)
        sealed = codec.encrypted(payload)
        encrypting = microseconds(partial(codec.encrypted, payload))
        decrypting = microseconds(partial(codec.decrypted, sealed))
        console.print(f"{size:>6} bytes: encrypt {encrypting:5.1f} µs, decrypt {decrypting:5.1f} µs", highlight=False)


if __name__ == "__main__":
    main()
