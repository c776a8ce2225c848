"""A real browser, closed before other tests, which its event loop would disturb."""

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
"""Function that opens an address and waits for its plot; keywords are those of a browser context."""


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
    """Open pages, and fail the test if one writes to the console or requests anything except itself."""
    messages: list[str] = []
    contexts = []

    def open_page(address: str, **settings: object) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}} | settings)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: messages.append(f"error: {error}"))
        origin = address.partition("#")[0]
        page.on("request", lambda request: messages.extend(_foreign(request.url, origin)))
        page.goto(address)
        page.wait_for_selector("body[data-ready]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert messages == []


def _foreign(url: str, origin: str) -> list[str]:
    served = origin.startswith("http://127.0.0.1") and url.startswith(origin)
    allowed = url == origin or served or url.startswith(("blob:", "data:"))
    return [] if allowed else [f"request: {url}"]
