"""A real browser, closed again before other tests: its event loop would be in their way."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)

Opens = Callable[..., Page]
"""Opens an address and waits for its plot; keywords are those of a browser context."""


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture
def opens(chromium: Browser) -> Iterator[Opens]:
    """Pages that fail the test if they say anything on the console, or ask for anything but themselves."""
    said: list[str] = []
    contexts = []

    def open_page(address: str, **settings: object) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}} | settings)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        origin = address.partition("#")[0]
        page.on("request", lambda request: said.extend(_foreign(request.url, origin)))
        page.goto(address)
        page.wait_for_selector("body[data-ready]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def _foreign(url: str, origin: str) -> list[str]:
    served = origin.startswith("http://127.0.0.1") and url.startswith(origin)
    own = url == origin or served or url.startswith(("blob:", "data:"))
    return [] if own else [f"request: {url}"]
