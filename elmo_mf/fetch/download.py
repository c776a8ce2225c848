"""Downloads that are checked, and resumed after a broken connection if the file is still the same version."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Annotated, Any
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elmo_mf.errors import InputError, one_line
from elmo_mf.fetch.catalogue import Source
from elmo_mf.io import open_regular, read_bytes, write_text
from elmo_mf.provenance import file_hash

MOST_BYTES = 4_000_000_000
_ATTEMPTS = 5
_REDIRECTS = 10
_CHUNK = 1 << 14  # bytes, which are lost when a connection breaks
_TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces
_PAUSE = 1.0
_MOST_NOTE = 10_000  # bytes
_NOTED = 1 << 25  # bytes between two notes, which are lost when the process is killed and no hash is known

ProgressCallback = Callable[[int, int | None], None]
"""Called with the number of bytes that are there, and the number that there will be if it is known."""


def download(
    source: Source, folder: Path, mirror: str | None, sha256: str | None, advance: ProgressCallback = lambda *_: None
) -> Path:
    """Download `source` to `folder`, from a mirror if one is given, and check it against `sha256` if that is known.

    Raises:
        InputError: the address or file cannot be reached, sends fewer bytes than it announces or redirects to an
            address without encryption; or its content is not what was expected.
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
    _check(path, where, sha256, source.size)
    return path


def _check(path: Path, where: str, sha256: str | None, size: int | None) -> None:
    """Remove a download that is not what was expected."""
    found = path.stat().st_size
    if size is not None and found != size:
        path.unlink()
        raise InputError(f"{where}: found {found:,} bytes, expected {size:,}")
    if sha256 is not None and file_hash(path) != sha256:
        path.unlink()
        raise InputError(f"{where}: found another content, expected that of SHA-256 {sha256}")


def _copy(where: Path, path: Path, advance: ProgressCallback) -> None:
    with open_regular(where, "file", "it in the mirror") as original, open(path, "wb") as file:
        shutil.copyfileobj(original, file)
        advance(file.tell(), file.tell())


class _Note(BaseModel):
    """What stands beside a partial download whose version the server named."""

    model_config = ConfigDict(strict=True)

    version: Annotated[str, Field(pattern=r"^[ -~]{1,1000}$")]
    """The server's ETag or date, by which this version of the file differs from others."""
    size: Annotated[int, Field(ge=0)] = 0
    """Where no hash is known, how many bytes are on the disk."""
    sha256: str = hashlib.sha256().hexdigest()
    """The hash of these bytes."""


class _Remote:
    """A file at an address, fetched into a partial file that stays when the connection breaks, and is then resumed."""

    def __init__(
        self, url: str, partial: Path, sha256: str | None, size: int | None, advance: ProgressCallback
    ) -> None:
        self.url, self.partial, self.sha256, self.size, self.advance = url, partial, sha256, size, advance
        self.note = partial.with_name(f"{partial.name}.json")
        self._digest = hashlib.sha256()

    def fetch(self, path: Path) -> None:
        import requests

        problem: Exception | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE)
            try:
                self._resume()
                break
            except requests.RequestException as error:  # as when less comes than was promised
                status = getattr(getattr(error, "response", None), "status_code", 0)
                if 400 <= status < 500 and status != 429:
                    raise InputError(f"{self.url}: found {error}, expected a file") from None
                problem = error
        else:
            raise InputError(
                f"{self.url}: not reached or cut off {_ATTEMPTS} times ({one_line(problem)}); the same command "
                "resumes the download, and elmo-mf fetch --mirror takes another address or a folder"
            )
        self.partial.replace(path)
        self.note.unlink(missing_ok=True)

    def _resume(self) -> None:
        import requests

        there, note = self._there(), self._noted()
        headers = {"Accept-Encoding": "identity"}
        if there:
            headers |= {"Range": f"bytes={there}-"} | ({"If-Range": note.version} if note else {})
        with _answer(self.url, headers) as answer:
            part = answer.headers.get("Content-Range", "")
            if answer.status_code == 416 and (part == f"bytes */{there}" or (self.sha256 and not part)):
                return  # all of it is there, or the hash will show that it is not
            if answer.status_code == 416 or (answer.status_code == 206 and not part.startswith(f"bytes {there}-")):
                self._forget()
                raise requests.RequestException(f"found {part or 'no range'}, expected one from byte {there}")
            answer.raise_for_status()
            if answer.status_code not in (200, 206):
                raise InputError(f"{self.url}: found status {answer.status_code}, expected a file")
            self._write(answer, there if answer.status_code == 206 else 0)

    def _there(self) -> int:
        """The number of bytes from which the download can be resumed."""
        if not self.partial.is_file():
            return 0
        if self.sha256:  # by which all of it is checked in the end
            return self.partial.stat().st_size
        note = self._noted()
        if note is None or note.size > self.partial.stat().st_size:
            return 0
        self._digest = _hash_of_start(self.partial, note.size)
        if self._digest.hexdigest() != note.sha256:
            return 0
        os.truncate(self.partial, note.size)
        return note.size

    def _noted(self) -> _Note | None:
        """The note beside the partial file, None where there is none or it is broken."""
        try:
            return _Note.model_validate_json(read_bytes(self.note, "note", "that of a download", most=_MOST_NOTE))
        except (InputError, ValidationError):
            return None

    def _forget(self) -> None:
        self.partial.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _write(self, answer: Any, there: int) -> None:
        import requests

        length = answer.headers.get("Content-Length", "")
        total = there + int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
        most = self.size or MOST_BYTES
        if (total or 0) > most or (self.size and total not in (None, self.size)):
            raise InputError(f"{self.url}: found {total:,} bytes, expected {'' if self.size else 'at most '}{most:,}")
        if not there:
            self._digest = hashlib.sha256()
            self._begin(answer.headers)
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

    def _begin(self, headers: Any) -> None:
        """Forget what is there of another version, and note this one."""
        etag = headers.get("ETag", "")
        version = etag if etag.startswith('"') else headers.get("Last-Modified", "")  # If-Range takes no weak ETag
        self._forget()
        with contextlib.suppress(ValidationError):  # no version, or a strange one
            write_text(self.note, _Note(version=version).model_dump_json())

    def _note_bytes(self, file: IO[bytes], size: int) -> None:
        """Note how many bytes are on the disk, and their hash, where no hash of the whole is known."""
        note = self._noted()
        if note and not self.sha256:
            file.flush()
            os.fsync(file.fileno())
            new = _Note(version=note.version, size=size, sha256=self._digest.hexdigest())
            write_text(self.note, new.model_dump_json())


def _hash_of_start(path: Path, size: int) -> Any:
    """The SHA-256 of the first `size` bytes of a file, or of all if there are fewer; more bytes can be added to it."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while size > 0 and (chunk := file.read(min(size, 1 << 20))):
            digest.update(chunk)
            size -= len(chunk)
    return digest


def _answer(url: str, headers: dict[str, str]) -> Any:
    """The server's answer, after redirects, each of which must be safe."""
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
    """Whether an address is https; or on this machine, if the `first` one was too."""
    scheme = url.split("://")[0].lower()
    return scheme == "https" or (scheme == "http" and _is_loopback(url) and _is_loopback(first))


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
