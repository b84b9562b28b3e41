"""Debian's Chromium, driven by Playwright, and the Viewer served to it over a real socket."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from playwright.async_api import Browser, async_playwright
from starlette.applications import Starlette

CHROMIUM = shutil.which("chromium")


@asynccontextmanager
async def serving(app: Starlette, port: int) -> AsyncIterator[None]:
    """The application on 127.0.0.1, as the web process serves it."""
    config = uvicorn.Config(app, host="127.0.0.1", port=port, access_log=False, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started and not task.done():  # noqa: ASYNC110 (uvicorn offers no event)
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def canary(port: int) -> AsyncIterator[list[bytes]]:
    """A server that nothing may ever ask anything; yields the requests it got."""
    hits: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hits.append(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", port)
    try:
        yield hits
    finally:
        server.close()
        await server.wait_closed()
