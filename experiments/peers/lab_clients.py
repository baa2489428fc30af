"""Clients of the lab that draw nothing; all read what they get, but the last, which never does.

python experiments/peers/lab_clients.py http://127.0.0.1:8000/ 10
"""

import asyncio
import socket
import sys
from urllib.parse import urlsplit

from websockets.asyncio.client import connect


async def main(address: str, clients: int) -> None:
    where = urlsplit(address)
    origin = f"http://{where.netloc}"
    connections = [
        await connect(f"ws://{where.netloc}/api/live", origin=origin, max_size=None)  # type: ignore[arg-type]
        for _ in range(clients - 1)
    ]
    with socket.create_connection((where.hostname, where.port)) as deaf:
        deaf.sendall(
            f"GET /api/live HTTP/1.1\r\nHost: {where.netloc}\r\nOrigin: {origin}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        print("there", flush=True)

        async def listen(connection: object) -> None:
            async for _ in connection:  # type: ignore[attr-defined]
                pass

        await asyncio.gather(*map(listen, connections))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
