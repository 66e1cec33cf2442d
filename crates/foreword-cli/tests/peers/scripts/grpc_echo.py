"""A gRPC server that says back what it hears, one message at a time or all of a stream, and who it was told the client is."""

import sys
from concurrent import futures

import grpc


def client(context):
    told = dict(context.invocation_metadata())
    return told.get("x-forwarded-for", "nobody").encode()


def once(message, context):
    if message == b"refuse":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
    context.set_trailing_metadata((("x-length", str(len(message))),))
    return client(context) + b": " + message


def talk(messages, context):
    for message in messages:
        yield client(context) + b": " + message


handlers = {
    "Once": grpc.unary_unary_rpc_method_handler(once),
    "Talk": grpc.stream_stream_rpc_method_handler(talk),
}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", handlers),))
server.add_insecure_port(f"{sys.argv[1]}:{sys.argv[2]}")
server.start()
server.wait_for_termination()
