"""Writes a PROXY header, then speaks WebSocket over the same socket. Prints what comes back."""

import socket
import sys

from websockets.sync.client import connect

host, port, header = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])
raw = socket.create_connection((host, port), timeout=30)
raw.sendall(header)
with connect(f"ws://{host}:{port}/chat?room=1", sock=raw, max_size=None, open_timeout=30) as chat:
    for message in ("hello", "are you there"):
        chat.send(message)
        print(chat.recv(timeout=30))
    # Larger than any buffer on the way, in one message.
    large = bytes(range(256)) * 8192
    chat.send(large)
    print("large:", chat.recv(timeout=30) == large[::-1])
    print("pong:", chat.ping(b"still there?").wait(30))
print("closed:", chat.close_code)
