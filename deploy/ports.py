"""Which ports are free, and who holds the others."""

import random
import socket

import psutil

HOST = "127.0.0.1"
# Below Linux' and macOS' ephemeral ranges: no outgoing connection takes one between our look and the server's start.
QUIET_RANGE = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on."""
    found: list[int] = []
    for port in random.SystemRandom().sample(QUIET_RANGE, len(QUIET_RANGE)):
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    return found


def holder(port: int) -> str | None:
    """The process that listens on the port, such as "postgres (pid 4711)", when we may know."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.AccessDenied, OSError):
        return None
    for connection in connections:
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.pid
        ):
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return None
