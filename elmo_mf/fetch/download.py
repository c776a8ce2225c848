"""Downloads that are checked; what a broken connection left is gone on from, if it is still of the same file."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from elmo_mf.errors import InputError, one_line
from elmo_mf.fetch.catalogue import Source
from elmo_mf.io import open_regular, read_text, write_text
from elmo_mf.provenance import file_hash

MOST_BYTES = 4_000_000_000
_ATTEMPTS = 5
_REDIRECTS = 10
_CHUNK = 1 << 14  # bytes; so many are lost when a connection breaks
_TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces
_PAUSE = 1.0
_MOST_VALIDATOR = 1000  # characters
_MOST_NOTE = 10_000  # bytes
_NOTED = 1 << 25  # bytes; so many more are lost where the process is killed and no hash is known

Advance = Callable[[int, int | None], None]
"""Told the bytes that are there, and how many there will be if that is known."""


def download(
    source: Source, folder: Path, mirror: str | None, sha256: str | None, advance: Advance = lambda *_: None
) -> Path:
    """Download `source` to `folder`, from a mirror if one is given, and check it against `sha256` if that is known.

    # Raises
    InputError: the address or file cannot be reached or does not keep its promise of length, leads to an address
    without encryption, or the content is another.
    OSError: `folder` cannot be written to.
    """
    path = folder / source.name
    if sha256 is not None and path.is_file() and file_hash(path) == sha256:
        return path
    where = source.url if mirror is None else f"{mirror.rstrip('/')}/{source.name}"
    if "://" in where:
        if not _is_safe(where, where):
            option = "" if mirror is None else "--mirror: "
            raise InputError(f"{option}found {where.split('://')[0]}://, expected https or a folder")
        _Remote(where, folder / f"{source.name}.part", sha256, source.size, advance).fetch(path)
    else:
        _copy(Path(where), path, advance)
    found = file_hash(path)
    if found != (sha256 or found) or path.stat().st_size != (source.size or path.stat().st_size):
        path.unlink()
        expected = f"that of SHA-256 {sha256}" if sha256 else f"{source.size:,} bytes"
        raise InputError(f"{where}: found another content, expected {expected}")
    return path


def _copy(where: Path, path: Path, advance: Advance) -> None:
    with open_regular(where, "file", "it in the mirror") as original, open(path, "wb") as file:
        shutil.copyfileobj(original, file)
        advance(file.tell(), file.tell())


class _Remote:
    """A file at an address, fetched into one that stays when the connection breaks, and is gone on from then.

    Beside it stands, if the server gave one, what tells this version of the file from others (its ETag or date); and,
    where no hash is known, how many of the bytes are on the disk, and their hash.
    """

    def __init__(self, url: str, partial: Path, sha256: str | None, size: int | None, advance: Advance) -> None:
        self.url, self.partial, self.sha256, self.size, self.advance = url, partial, sha256, size, advance
        self.version = partial.with_name(f"{partial.name}.version")
        self._digest = hashlib.sha256()

    def fetch(self, path: Path) -> None:
        import requests

        problem: Exception | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE)
            try:
                self._go_on()
                break
            except requests.RequestException as error:  # as when less comes than was promised
                status = getattr(getattr(error, "response", None), "status_code", 0)
                if 400 <= status < 500 and status != 429:
                    raise InputError(f"{self.url}: found {error}, expected a file") from None
                problem = error
        else:
            raise InputError(
                f"{self.url}: not reached or cut off {_ATTEMPTS} times ({one_line(problem)}); the same command goes on "
                "from what is there, and elmo-mf fetch --mirror takes another address or a folder"
            )
        self.partial.replace(path)
        self.version.unlink(missing_ok=True)

    def _go_on(self) -> None:
        import requests

        there, version = self._there()
        headers = {"Accept-Encoding": "identity"}
        if there:
            headers |= {"Range": f"bytes={there}-"} | ({"If-Range": version} if version else {})
        with _answer(self.url, headers) as answer:
            said = answer.headers.get("Content-Range", "")
            if answer.status_code == 416:
                if said == f"bytes */{there}" or (
                    self.sha256 and not said
                ):  # all of it is there, or the hash will tell
                    return
                self._forget()
                raise requests.RequestException(f"{said or 'nothing'} where {there} bytes are there")
            answer.raise_for_status()
            if answer.status_code == 206 and there and said and not said.startswith(f"bytes {there}-"):
                self._forget()
                raise requests.RequestException(f"found {said}, expected it from byte {there}")
            if answer.status_code not in (200, 206):
                raise InputError(f"{self.url}: found status {answer.status_code}, expected a file")
            self._write(answer, there if answer.status_code == 206 else 0)

    def _there(self) -> tuple[int, str]:
        """The bytes that are there of a file that can be told from others, and by what."""
        version, size, digest = self._noted()
        if not self.partial.is_file():
            return 0, ""
        if self.sha256:  # which will tell
            return self.partial.stat().st_size, version
        self._digest = _hash_of_start(self.partial, size)
        if not version or self._digest.hexdigest() != digest:
            return 0, ""
        os.truncate(self.partial, size)
        return size, version

    def _noted(self) -> tuple[str, int, str]:
        """The version, and of the bytes that were on the disk, the number and the hash."""
        try:
            version, size, digest, *_ = [
                *read_text(self.version, "note", "a version", most=_MOST_NOTE).split("\n"),
                "",
                "",
            ]
            return version, int(size or 0), digest
        except ValueError:  # of which InputError is one
            return "", 0, ""

    def _forget(self) -> None:
        self.partial.unlink(missing_ok=True)
        self.version.unlink(missing_ok=True)

    def _write(self, answer: Any, there: int) -> None:
        import requests

        length = answer.headers.get("Content-Length", "")
        total = there + int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
        most = self.size or MOST_BYTES
        if (total or 0) > most or (self.size and total not in (None, self.size)):
            raise InputError(f"{self.url}: found {total:,} bytes, expected {'' if self.size else 'at most '}{most:,}")
        if not there:
            self._digest = hashlib.sha256()
            self._note(answer.headers)
        noted = there
        with open(self.partial, "ab" if there else "wb") as file:
            try:
                for chunk in answer.iter_content(_CHUNK):
                    file.write(chunk)
                    self._digest.update(chunk)
                    there += len(chunk)
                    self.advance(there, total)
                    if there > most:
                        raise InputError(f"{self.url}: found more than {most:,} bytes, expected no more")
                    if there - noted >= _NOTED:
                        self._note_bytes(file, noted := there)
            finally:
                self._note_bytes(file, there)
        if total is not None and there != total:
            raise requests.RequestException(f"found {there:,} bytes, expected {total:,}")

    def _note(self, headers: Any) -> None:
        etag = headers.get("ETag", "")
        version = etag if etag.startswith('"') else headers.get("Last-Modified", "")  # a weak ETag is of no use here
        self._forget()
        if version and version.isprintable() and len(version) <= _MOST_VALIDATOR:
            write_text(self.version, version)

    def _note_bytes(self, file: IO[bytes], size: int) -> None:
        """That so many bytes are on the disk, and their hash, where no other hash is known."""
        version = self._noted()[0]
        if version and not self.sha256:
            file.flush()
            os.fsync(file.fileno())
            write_text(self.version, f"{version}\n{size}\n{self._digest.hexdigest()}")


def _hash_of_start(path: Path, size: int) -> Any:
    """The SHA-256, to go on with, of the first `size` bytes of a file, or of all if there are fewer."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while size > 0 and (chunk := file.read(min(size, 1 << 20))):
            digest.update(chunk)
            size -= len(chunk)
    return digest


def _answer(url: str, headers: dict[str, str]) -> Any:
    """To a request, behind redirects that are safe."""
    import requests

    first = url
    for _ in range(_REDIRECTS):
        answer = requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT, allow_redirects=False)
        if not answer.is_redirect:
            return answer
        answer.close()
        url = urljoin(url, answer.headers["Location"])
        if not _is_safe(url, first):
            raise InputError(f"{first}: found a redirect to {url[:200]}, expected one to https")
    raise InputError(f"{first}: found more than {_REDIRECTS} redirects, expected a file")


def _is_safe(url: str, first: str) -> bool:
    """Whether an address is encrypted; or this machine's, where the first was too."""
    scheme = url.split("://")[0].lower()
    return scheme == "https" or (scheme == "http" and _is_loopback(url) and _is_loopback(first))


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
