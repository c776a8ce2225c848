"""Downloads through pooch, which checks them; what a broken connection left is gone on from."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elmo_mf.errors import InputError, one_line
from elmo_mf.fetch.catalogue import Source

MOST_BYTES = 4_000_000_000
_ATTEMPTS = 5
_CHUNK = 1 << 14  # bytes; so many are lost when a connection breaks
_TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces
_PAUSE = 1.0

Advance = Callable[[int, int | None], None]
"""Told the bytes that are there, and how many there will be if that is known."""


def download(
    source: Source, folder: Path, mirror: str | None, sha256: str | None, advance: Advance = lambda *_: None
) -> Path:
    """Download `source` to `folder`, from a mirror if one is given, and check it against `sha256` if that is known.

    # Raises
    InputError: the address or file cannot be reached or does not keep its promise of length, or the content is another.
    """
    import pooch

    pooch.get_logger().disabled = True
    where = source.url if mirror is None else f"{mirror.rstrip('/')}/{source.name}"
    scheme = where.split("://")[0]
    if "://" in where and scheme not in ("http", "https"):
        raise InputError(f"--mirror: found {scheme}://, expected http, https or a folder")
    fetch = _Resumed(folder / f"{source.name}.part", advance) if "://" in where else _Copied(advance)
    try:
        return Path(pooch.retrieve(where, sha256, source.name, folder, downloader=fetch))
    except InputError:
        raise
    except ValueError:
        raise InputError(f"{where}: found another content, expected that of SHA-256 {sha256}") from None


class _Copied:
    """From a folder."""

    def __init__(self, advance: Advance) -> None:
        self.advance = advance

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        try:
            shutil.copyfile(url, output_file)
        except OSError as error:
            raise InputError(f"{url}: found no readable file ({error.strerror}), expected it in the mirror") from None
        size = Path(output_file).stat().st_size
        self.advance(size, size)


class _Resumed:
    """Over HTTP, into a file that stays when the connection breaks, and is gone on from, now or next time."""

    def __init__(self, partial: Path, advance: Advance) -> None:
        self.partial, self.advance = partial, advance

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        import requests

        problem: Exception | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE)
            try:
                self._go_on(url)
                break
            except requests.RequestException as error:  # as when less comes than was promised
                status = getattr(getattr(error, "response", None), "status_code", 0)
                if 400 <= status < 500 and status != 429:
                    raise InputError(f"{url}: found {error}, expected a file") from None
                problem = error
        else:
            raise InputError(
                f"{url}: not reached or cut off {_ATTEMPTS} times ({one_line(problem)}); the same command goes on from "
                "what is there, and elmo-mf fetch --mirror takes another address or a folder"
            )
        self.partial.replace(output_file)

    def _go_on(self, url: str) -> None:
        import requests

        there = self.partial.stat().st_size if self.partial.exists() else 0
        asked = {"Range": f"bytes={there}-"} if there else {}
        headers = asked | {"Accept-Encoding": "identity"}
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            if answer.status_code == 416:  # all of it is there, or more: the hash will tell
                return
            answer.raise_for_status()
            there = there if answer.status_code == 206 else 0
            length = answer.headers.get("Content-Length")
            total = there + int(length) if length and length.isdigit() else None
            if (total or 0) > MOST_BYTES:
                raise InputError(f"{url}: found {total:,} bytes, expected at most {MOST_BYTES:,}")
            with open(self.partial, "ab" if there else "wb") as file:
                for chunk in answer.iter_content(_CHUNK):
                    file.write(chunk)
                    there += len(chunk)
                    self.advance(there, total)
                    if there > MOST_BYTES:
                        raise InputError(f"{url}: found more than {MOST_BYTES:,} bytes, expected no more")
