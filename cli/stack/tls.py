"""TLS before a PostgreSQL whose build has none: the only way in from outside its own socket.

A client asks for TLS as PostgreSQL's protocol has it; whoever does not is refused. What comes through is
handed to the server's Unix socket, which nobody else can reach. Run as a script by an isolated interpreter,
so it imports nothing but the standard library: `tls.py PORT SOCKET PEM` (the file of key and certificate).
"""

import asyncio
import signal
import socket
import ssl
import struct
import sys
from contextlib import suppress

_SSL_REQUEST = struct.pack("!ii", 8, 80_877_103)
_GSS_REQUEST = struct.pack("!ii", 8, 80_877_104)
_HELLO_S = 10
_CHUNK = 65_536


def refusal(text: str) -> bytes:
    """PostgreSQL's message that ends a session: severity, code of a refused login, text."""
    fields = b"".join(
        kind + value.encode() + b"\0"
        for kind, value in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", "28000"), (b"M", text))
    )
    return b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0"


async def agreed(connection: socket.socket) -> bool:
    """Whether the client asked for TLS and was told yes; all that it sends from then on is TLS."""
    loop = asyncio.get_running_loop()
    for _ in range(2):  # it may ask for GSSAPI's encryption first
        asked = b""
        while len(asked) < len(_SSL_REQUEST):
            # Never more than the request: what somebody smuggled in behind it must meet TLS, not the server.
            more = await loop.sock_recv(connection, len(_SSL_REQUEST) - len(asked))
            if not more:
                return False
            asked += more
        if asked == _SSL_REQUEST:
            await loop.sock_sendall(connection, b"S")
            return True
        if asked != _GSS_REQUEST:
            break
        await loop.sock_sendall(connection, b"N")
    await loop.sock_sendall(
        connection, refusal("connections without TLS are refused: use sslmode=verify-full")
    )
    return False


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on until the end."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()


async def serve(connection: socket.socket, path: str, context: ssl.SSLContext) -> None:
    """One client, until either side ends."""
    writers: list[asyncio.StreamWriter] = []
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_HELLO_S):
            if not await agreed(connection):
                return
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=context)
        writers.append(asyncio.StreamWriter(transport, protocol, reader, loop))
        answers, to_server = await asyncio.open_unix_connection(path)
        writers.append(to_server)
        ways = [asyncio.create_task(pump(reader, to_server)), asyncio.create_task(pump(answers, writers[0]))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    except (OSError, TimeoutError) as error:  # ssl's errors are OSErrors
        print(f"a connection ended: {error!r}", flush=True)
    finally:
        for writer in writers:
            writer.close()
        for writer in writers:
            with suppress(OSError):
                await writer.wait_closed()
        connection.close()


async def main(port: int, path: str, pem: str) -> None:
    """Serve until SIGTERM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pem)
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", port), backlog=200)
    listener.setblocking(False)
    clients: set[asyncio.Task[None]] = set()

    async def accept() -> None:
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = asyncio.create_task(serve(connection, path, context))
            clients.add(task)
            task.add_done_callback(clients.discard)

    accepting = asyncio.create_task(accept())
    loop.add_signal_handler(signal.SIGTERM, accepting.cancel)
    with suppress(asyncio.CancelledError):
        await accepting


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
