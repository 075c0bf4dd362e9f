"""A port for a server that takes a while to start."""

from __future__ import annotations

import random
import socket

# Below those that the system gives to connections: one of these could take the port meanwhile.
_FIRST, _LAST = 20_000, 32_000


def free_port() -> int:
    """A port of loopback at which nobody listens."""
    while True:
        port = random.SystemRandom().randint(_FIRST, _LAST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
