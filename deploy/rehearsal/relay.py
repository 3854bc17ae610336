"""Hands TCP connections on: from ports of one address to the same ports of another, later by a delay if one is given.

    relay.py LISTEN_ADDRESS CONNECT_ADDRESS DELAY_MS PORT...

Prints "ready" when it listens on all of them. namespaces.sh runs two of them for each namespace.
"""

import asyncio
import signal
import sys

CHUNK = 65_536
# Chunks on their way in one direction of a connection; beyond that the sender waits.
MOST_UNDER_WAY = 1_024


async def read(reader, under_way, delay):
    """Takes what comes, with the time at which it is to be handed on; an empty chunk is the end."""
    now = asyncio.get_running_loop().time
    chunk = b"-"
    while chunk:
        try:
            chunk = await reader.read(CHUNK)
        except OSError:
            chunk = b""
        await under_way.put((now() + delay, chunk))


async def write(writer, under_way):
    now = asyncio.get_running_loop().time
    while True:
        due, chunk = await under_way.get()
        if (early := due - now()) > 0:
            await asyncio.sleep(early)
        if not chunk:
            break
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def hand_on(one, other, delay):
    """Both directions, until both have ended or one has failed."""
    tasks = []
    for reader, writer in ((one[0], other[1]), (other[0], one[1])):
        under_way = asyncio.Queue(MOST_UNDER_WAY)
        tasks.append(asyncio.ensure_future(read(reader, under_way, delay)))
        tasks.append(asyncio.ensure_future(write(writer, under_way)))
    try:
        await asyncio.gather(*tasks)
    except OSError:
        pass
    finally:
        for task in tasks:
            task.cancel()
        for _, writer in (one, other):
            writer.close()


async def main(listen, connect, delay, ports):
    # The loop knows its tasks by weak references alone.
    connections = set()

    def serving(port):
        async def serve(reader, writer):
            task = asyncio.current_task()
            connections.add(task)
            task.add_done_callback(connections.discard)
            try:
                other = await asyncio.open_connection(connect, port)
            except OSError as error:
                print(f"relay: {connect}:{port}: {error}", file=sys.stderr, flush=True)
                writer.close()
                return
            await hand_on((reader, writer), other, delay)

        return asyncio.start_server(serve, listen, port)

    servers = [await serving(port) for port in ports]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


# Ctrl-C is for the commands, which still reach their servers while they end.
signal.signal(signal.SIGINT, signal.SIG_IGN)
listen_address, connect_address, delay_ms, *listen_ports = sys.argv[1:]
asyncio.run(main(listen_address, connect_address, float(delay_ms) / 1_000, [int(port) for port in listen_ports]))
