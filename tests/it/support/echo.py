# A WebSocket app on a free port: sends back what it gets, and closes with code 4001 when told to.
import asyncio

import websockets


async def echo(socket):
    async for message in socket:
        if message == "close":
            await socket.close(4001, "as you wish")
            return
        await socket.send(message)


async def main():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


asyncio.run(main())
