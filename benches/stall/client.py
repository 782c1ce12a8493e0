"""Requests at a fixed rate to two sites of one server, whatever becomes of the ones before.

    client.py PORT SECONDS HOST:RATE:CONNECTIONS...

Open: a request that gets no answer keeps its connection, and the next one takes another; what has been idle for longest is
next, so that all connections are used alike. Figures on standard output, as JSON: by host, the requests that were answered
with 200 and their times in milliseconds, and those that were not.
"""

import asyncio
import collections
import gc
import json
import resource
import ssl
import sys
import time

PATIENCE = 15  # seconds that a request may take, and that opening the connections may


async def ask(host, port, connection, found):
    reader, writer = connection
    began = time.perf_counter()
    try:
        writer.write(b"GET /small HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (host.encode(), port))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await asyncio.wait_for(reader.readexactly(length), PATIENCE)
        took = time.perf_counter() - began
    except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, StopIteration):
        writer.close()
        found["failed"] += 1
        return False
    if head.startswith(b"HTTP/1.1 200"):
        found["times"].append(took * 1000)
    else:
        found["failed"] += 1
    return b"connection: close" not in head.lower()


async def site(host, port, rate, seconds, pool):
    loop, found = asyncio.get_running_loop(), {"times": [], "failed": 0, "unsent": 0}
    free, running = collections.deque(pool), set()

    async def one(connection):
        if await ask(host, port, connection, found):
            free.append(connection)

    began = loop.time()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0, began + number / rate - loop.time()))
        if not free:
            found["unsent"] += 1
            continue
        task = asyncio.create_task(one(free.popleft()))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        await asyncio.wait(running, timeout=PATIENCE)
    return found


async def opened(host, port, count):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    pool = []
    for number in range(count):
        source = ("127.0.0.%d" % (2 + number % 10), 0)
        one = asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host, local_addr=source)
        pool.append(await asyncio.wait_for(one, PATIENCE))
    return pool


def summary(found):
    times = sorted(found["times"])
    at = lambda q: round(times[min(len(times) - 1, int(len(times) * q))], 3) if times else None
    return {"answered": len(times), "failed": found["failed"], "unsent": found["unsent"], "p50_ms": at(0.50), "p99_ms": at(0.99)}


async def main():
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    plans = [(host, float(rate), int(count)) for host, rate, count in (text.split(":") for text in sys.argv[3:])]
    pools = [await opened(host, port, count) for host, _, count in plans]
    gc.collect()
    gc.disable()
    found = await asyncio.gather(*(site(host, port, rate, seconds, pool) for (host, rate, _), pool in zip(plans, pools)))
    print(json.dumps({plan[0]: summary(one) for plan, one in zip(plans, found)}), flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(main())
