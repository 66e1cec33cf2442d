"""Asks a gRPC server through whatever is in between: once, in a stream in both directions, in vain, and with a lot."""

import queue
import sys

import grpc

LARGE = b"x" * 3_000_000

with grpc.insecure_channel(f"{sys.argv[1]}:{sys.argv[2]}") as channel:
    once = channel.unary_unary("/echo.Echo/Once")
    answer, call = once.with_call(b"hello", timeout=20)
    print(answer.decode(), dict(call.trailing_metadata())["x-length"])

    # Each word is answered before the next is said.
    words = queue.SimpleQueue()
    answers = channel.stream_stream("/echo.Echo/Talk")(iter(words.get, None), timeout=20)
    for word in (b"one", b"two", b"three"):
        words.put(word)
        print(next(answers).decode())
    words.put(None)
    print("ended:", next(answers, None) is None, answers.code().name)

    try:
        once(b"refuse", timeout=20)
    except grpc.RpcError as error:
        print("refused:", error.code().name, error.details())

    print("large:", once(LARGE, timeout=20).endswith(LARGE))
    many = [once.future(str(n).encode(), timeout=20) for n in range(200)]
    print("many:", all(each.result().endswith(f": {n}".encode()) for n, each in enumerate(many)))
