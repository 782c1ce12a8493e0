# Talks to the echo app through the proxy: talk.py PORT ROOT ORIGIN. Prints what happened, one word.
import asyncio
import ssl
import sys

import websockets

port, root, origin = int(sys.argv[1]), sys.argv[2], sys.argv[3] or None


async def main():
    trust = ssl.create_default_context(cafile=root)
    try:
        async with websockets.connect(
            f"wss://app.localhost:{port}/echo", host="127.0.0.1", port=port,
            server_hostname="app.localhost", ssl=trust, origin=origin, max_size=None,
        ) as socket:
            for message in ["hello", "", "ünïcode", b"\x00\xff" * 10, b"x" * 300_000]:
                await socket.send(message)
                answer = await socket.recv()
                if answer != message:
                    return f"garbled {len(message)}"
            await (await socket.ping())
            await socket.send("close")
            try:
                await socket.recv()
            except websockets.ConnectionClosed as closed:
                return f"closed-{closed.code}"
            return "not-closed"
    except websockets.InvalidStatusCode as refused:
        return f"refused-{refused.status_code}"


print(asyncio.run(main()))
