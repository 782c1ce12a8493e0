"""gRPC as its own library speaks it, over messages that are plain bytes.

  rpc.py serve [CERT KEY]        serves on a free port of loopback and says which; with TLS if it has a certificate
  rpc.py ask ADDRESS ROOT NAME   asks through TLS for NAME, and says what came as one JSON object
"""

import concurrent.futures
import json
import sys
import threading

import grpc

cancelled = threading.Event()


def unary(request, context):
    context.set_trailing_metadata((("x-trailing", "behind"), ("x-bytes-bin", b"\x00\xff")))
    seen = dict(context.invocation_metadata())
    return b"echo " + request + b" " + seen.get("x-asked", "-").encode()


def fails(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "nobody of the name " + request.decode())


def stream(request, context):
    for number in range(int(request)):
        yield b"%d" % number + b"." * 10_000


def upload(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def chat(requests, context):
    for request in requests:
        yield b"re: " + request


def hang(request, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    yield b"one"
    if ended.wait(20):
        cancelled.set()


def was_cancelled(request, context):
    return b"yes" if cancelled.wait(20) else b"no"


def serve(files):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=16))
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Fails": grpc.unary_unary_rpc_method_handler(fails),
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
        "Upload": grpc.stream_unary_rpc_method_handler(upload),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Hang": grpc.unary_stream_rpc_method_handler(hang),
        "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", methods),))
    if files:
        cert, key = (open(file, "rb").read() for file in files)
        port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(key, cert)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


def status(call):
    try:
        call()
        return "OK"
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"


def talk(chat):
    """Says each word only once the one before was answered: both sides have to stream at the same time."""
    answered = threading.Semaphore(1)

    def words():
        for number in range(20):
            answered.acquire(timeout=10)
            yield b"%d" % number

    replies = []
    for reply in chat(words(), timeout=20):
        replies.append(reply.decode())
        answered.release()
    return replies


def ask(address, root, name):
    credentials = grpc.ssl_channel_credentials(open(root, "rb").read())
    options = [("grpc.ssl_target_name_override", name), ("grpc.default_authority", name)]
    with grpc.secure_channel(address, credentials, options) as channel:
        unary, call = channel.unary_unary("/t.T/Unary").with_call(
            b"hello", timeout=20, metadata=(("x-asked", "asked"),)
        )
        trailing = {item.key: repr(item.value) for item in call.trailing_metadata()}
        rows = [row for row in channel.unary_stream("/t.T/Stream")(b"300", timeout=20)]
        pieces = (b"x" * 9_000 for _ in range(100))
        hanging = channel.unary_stream("/t.T/Hang")(b"")
        first = next(hanging)
        hanging.cancel()
        said = {
            "unary": unary.decode(),
            "trailing": trailing,
            "fails": status(lambda: channel.unary_unary("/t.T/Fails")(b"it", timeout=20)),
            "unknown": status(lambda: channel.unary_unary("/t.T/Nothing")(b"", timeout=20)),
            "rows": len(rows),
            "bytes": sum(len(row) for row in rows),
            "upload": channel.stream_unary("/t.T/Upload")(pieces, timeout=20).decode(),
            "chat": talk(channel.stream_stream("/t.T/Chat")),
            "first": first.decode(),
            "cancelled": channel.unary_unary("/t.T/WasCancelled")(b"", timeout=20).decode(),
            "late": status(lambda: list(channel.unary_stream("/t.T/Hang")(b"", timeout=1))).split(":")[0],
        }
    print(json.dumps(said))


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    serve(rest) if verb == "serve" else ask(*rest)
