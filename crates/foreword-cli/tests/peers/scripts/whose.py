"""Answers with the client that the web server in front tells of."""


def answer(environ, start_response):
    body = f"client={environ['REMOTE_ADDR']}:{environ['REMOTE_PORT']}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
