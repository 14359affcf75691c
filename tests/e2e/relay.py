"""relay.py HOST:PORT DELAY_MS: a TCP relay that delivers every byte DELAY_MS later, each way.

Prints "listening on 127.0.0.1:PORT" and runs until it is killed. Bytes are delayed, never throttled: what
arrives together leaves together. An end of stream travels as late as the bytes before it.
"""
import asyncio
import sys


async def pump(reader, writer, delay_s):
    loop = asyncio.get_running_loop()
    line = asyncio.Queue()

    async def deliver():
        while True:
            due, data = await line.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    task = asyncio.create_task(deliver())
    data = b"-"
    while data:
        try:
            data = await reader.read(65536)
        except OSError:
            data = b""
        line.put_nowait((loop.time() + delay_s, data))
    try:
        await task
    except OSError:
        writer.close()


async def main(host, port, delay_s):
    async def accepted(reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, far_writer, delay_s), pump(far_reader, writer, delay_s))

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    print("listening on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    where, _, number = sys.argv[1].rpartition(":")
    asyncio.run(main(where, int(number), float(sys.argv[2]) / 1000))
