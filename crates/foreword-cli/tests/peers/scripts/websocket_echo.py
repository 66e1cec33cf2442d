"""A WebSocket server that sends every message back, in capitals, with the client it was told of in front."""

import sys

from websockets.sync.server import serve


def echo(connection):
    client = connection.request.headers.get("X-Forwarded-For", "nobody")
    for message in connection:
        if isinstance(message, bytes):
            connection.send(message[::-1])
        else:
            connection.send(f"{client}: {message.upper()}")


host, port = sys.argv[1], int(sys.argv[2])
with serve(echo, host, port, max_size=None) as server:
    server.serve_forever()
