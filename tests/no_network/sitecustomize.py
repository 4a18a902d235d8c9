"""Refuse and record every connection that would leave this machine. Python imports this module at its start.

tests/conftest.py puts the folder on PYTHONPATH, so that the processes that a test starts are checked too. Code that is not
Python, such as PyTorch's process groups, is not seen.
"""

import ipaddress
import os
import sys
from typing import Any

# A file that gets a line per connection.
RECORD = "FT_TOOLKIT_TEST_CONNECTIONS"


def is_local(host: Any) -> bool:
    """Return whether a host of an address is this machine."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in (None, "", "localhost", os.uname().nodename):
        return True
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def check(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise PermissionError for a connection, a datagram or a name look-up that is not local."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1] if len(arguments) > 1 else None
        host = address[0] if isinstance(address, tuple) and len(address) >= 2 else None  # a Unix socket has a path
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if not is_local(host):
        path = os.environ.get(RECORD)
        if path:
            with open(path, "a", encoding="utf-8") as file:  # noqa: PTH123 - pathlib may not be imported yet
                file.write(f"{event} {host} by {sys.argv[:3]}\n")
        raise PermissionError(f"a test tried to connect to {host!r} ({event})")


sys.addaudithook(check)
