"""Verified downloads, which resume after a broken connection if the file on the server is still the same version.

cached_path and pooch do not resume; the design page says what was lost with pooch.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elmo_mf.errors import InputError, one_line
from elmo_mf.fetch._catalogue import Source
from elmo_mf.io import open_regular, read_bytes, write_text
from elmo_mf.provenance import file_hash

_REDIRECTS = 10
_MOST_STATE = 10_000  # bytes

ProgressCallback = Callable[[int, int | None], None]
"""Called with the number of bytes that have been downloaded, and the total if it is known."""


@dataclass(frozen=True)
class DownloadSettings:
    """Patience with servers, and limits of what they send.

    Attributes:
        attempts: Number of attempts. Defaults to 5.
        pause: Seconds between two attempts. Defaults to 1.
        timeout: Seconds to connect, and between two chunks. Defaults to 10 and 30.
        chunk: Bytes that are read at once, the most that is lost when a connection breaks. Defaults to 16 KiB.
        state_bytes: Bytes between saved states, the most that is lost when the process is killed. Defaults to 32 MiB.
        most_bytes: Largest size of a file whose size is not published, in bytes. Defaults to 4 GB.
    """

    attempts: int = 5
    pause: float = 1.0
    timeout: tuple[float, float] = (10.0, 30.0)
    chunk: int = 1 << 14
    state_bytes: int = 1 << 25
    most_bytes: int = 4_000_000_000


def download(
    source: Source,
    folder: Path,
    mirror: str | None,
    sha256: str | None,
    settings: DownloadSettings,
    advance: ProgressCallback,
) -> Path:
    """Download a file and verify it.

    Args:
        source: The file.
        folder: Folder for the download.
        mirror: URL or folder to download from, instead of the source's own URL.
        sha256: Expected SHA-256 of the content, None if unknown.
        settings: Patience and limits.
        advance: Called as bytes arrive.

    Returns:
        Path of the download; an existing file with the expected hash is reused.

    Raises:
        InputError: The server or file cannot be reached, sends fewer bytes than announced, or redirects to an
            unencrypted URL; or the content is wrong.
        OSError: `folder` cannot be written to.
    """
    path = folder / source.name
    if sha256 is not None and path.is_file() and file_hash(path) == sha256:
        return path
    where = source.url if mirror is None else f"{mirror.rstrip('/')}/{source.name}"
    if "://" in where:
        if not _is_safe(where, where):
            place = source.name if mirror is None else "mirror"
            raise InputError(place, f"found {where.split('://')[0]}://, expected https or a folder")
        _Remote(where, folder / f"{source.name}.part", sha256, source.size, settings, advance).fetch(path)
    else:
        _copy(Path(where), path, advance)
    _check(path, where, sha256, source.size)
    return path


def _check(path: Path, where: str, sha256: str | None, size: int | None) -> None:
    """Check the size and hash of a download, and remove it if they are wrong."""
    actual = path.stat().st_size
    if size is not None and actual != size:
        path.unlink()
        raise InputError(where, f"found {actual:,} bytes, expected {size:,}")
    if sha256 is not None and file_hash(path) != sha256:
        path.unlink()
        raise InputError(where, f"found other content, expected SHA-256 {sha256}")


def _copy(where: Path, path: Path, advance: ProgressCallback) -> None:
    with open_regular(where, "file", "a file of this name in the mirror") as original, open(path, "wb") as file:
        shutil.copyfileobj(original, file)
        advance(file.tell(), file.tell())


class _ResumeState(BaseModel):
    """The state of a partial download, in a file next to it, if the server has named the file's version."""

    model_config = ConfigDict(strict=True)

    version: Annotated[str, Field(pattern=r"^[ -~]{1,1000}$")]
    """The ETag or date that identifies this version of the file."""
    size: Annotated[int, Field(ge=0)] = 0
    """Number of bytes that are safely on disk, if the hash of the file is unknown."""
    sha256: str = hashlib.sha256().hexdigest()
    """The hash of these bytes."""


class _Remote:
    """A file at a URL, downloaded into a partial file that is kept and resumed when the connection breaks."""

    def __init__(
        self,
        url: str,
        partial: Path,
        sha256: str | None,
        size: int | None,
        settings: DownloadSettings,
        advance: ProgressCallback,
    ) -> None:
        self.url, self.partial, self.sha256, self.size = url, partial, sha256, size
        self.settings, self.advance = settings, advance
        self.state_file = partial.with_name(f"{partial.name}.json")
        self._digest = hashlib.sha256()

    def fetch(self, path: Path) -> None:
        import requests

        problem: Exception | None = None
        for attempt in range(self.settings.attempts):
            if attempt:
                time.sleep(self.settings.pause)
            try:
                self._resume()
                break
            except requests.RequestException as error:  # including an incomplete response
                status = getattr(getattr(error, "response", None), "status_code", 0)
                if 400 <= status < 500 and status != 429:
                    raise InputError(self.url, f"found {error}, expected a file") from None
                problem = error
        else:
            raise InputError(
                self.url,
                f"{self.settings.attempts} attempts failed ({one_line(problem)}); the same command resumes the "
                "download, and elmo-mf fetch --mirror downloads from another URL or folder",
            )
        self.partial.replace(path)
        self.state_file.unlink(missing_ok=True)

    def _resume(self) -> None:
        import requests

        start, state = self._resume_position(), self._read_state()
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-"} | ({"If-Range": state.version} if state else {})
        with _answer(self.url, headers, self.settings.timeout) as answer:
            sent = answer.headers.get("Content-Range", "")
            if answer.status_code == 416 and (sent == f"bytes */{start}" or (self.sha256 and not sent)):
                return  # the file is complete, or the hash will show that it is not
            if answer.status_code == 416 or (answer.status_code == 206 and not sent.startswith(f"bytes {start}-")):
                self._discard()
                raise requests.RequestException(f"found {sent or 'no range'}, expected one from byte {start}")
            answer.raise_for_status()
            if answer.status_code not in (200, 206):
                raise InputError(self.url, f"found status {answer.status_code}, expected a file")
            self._write(answer, start if answer.status_code == 206 else 0)

    def _resume_position(self) -> int:
        """Return the number of bytes from which the download can be resumed."""
        if not self.partial.is_file():
            return 0
        if self.sha256:  # which verifies the whole file at the end
            return self.partial.stat().st_size
        state = self._read_state()
        if state is None or state.size > self.partial.stat().st_size:
            return 0
        self._digest = _hash_of_start(self.partial, state.size)
        if self._digest.hexdigest() != state.sha256:
            return 0
        os.truncate(self.partial, state.size)
        return state.size

    def _read_state(self) -> _ResumeState | None:
        """Read the state of the partial file, None if it is missing or damaged."""
        try:
            return _ResumeState.model_validate_json(
                read_bytes(self.state_file, "state file", "that of a download", most=_MOST_STATE)
            )
        except (InputError, ValidationError):
            return None

    def _discard(self) -> None:
        self.partial.unlink(missing_ok=True)
        self.state_file.unlink(missing_ok=True)

    def _write(self, answer: Any, start: int) -> None:
        import requests

        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
        most = self.size or self.settings.most_bytes
        if (total or 0) > most or (self.size and total not in (None, self.size)):
            raise InputError(self.url, f"found {total:,} bytes, expected {'' if self.size else 'at most '}{most:,}")
        if not start:
            self._digest = hashlib.sha256()
            self._begin(answer.headers)
        saved, size = start, start
        with open(self.partial, "ab" if start else "wb") as file:
            try:
                for chunk in answer.iter_content(self.settings.chunk):
                    file.write(chunk)
                    self._digest.update(chunk)
                    size += len(chunk)
                    self.advance(size, total)
                    if size > most:
                        raise InputError(self.url, f"found more bytes, expected at most {most:,}")
                    if size - saved >= self.settings.state_bytes:
                        self._save_state(file, saved := size)
            finally:
                self._save_state(file, size)
        if total is not None and size != total:
            raise requests.RequestException(f"found {size:,} bytes, expected {total:,}")

    def _begin(self, headers: Any) -> None:
        """Discard a partial file of another version, and save the name of this version."""
        etag = headers.get("ETag", "")
        version = etag if etag.startswith('"') else headers.get("Last-Modified", "")  # If-Range accepts no weak ETag
        self._discard()
        with contextlib.suppress(ValidationError):  # no version, or an invalid one
            write_text(self.state_file, _ResumeState(version=version).model_dump_json())

    def _save_state(self, file: IO[bytes], size: int) -> None:
        """Sync the partial file and save its size and hash, if the hash of the whole file is unknown."""
        state = self._read_state()
        if state and not self.sha256:
            file.flush()
            os.fsync(file.fileno())
            new = _ResumeState(version=state.version, size=size, sha256=self._digest.hexdigest())
            write_text(self.state_file, new.model_dump_json())


def _hash_of_start(path: Path, size: int) -> Any:
    """Return the SHA-256 object of the first `size` bytes of a file, or of all if there are fewer."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while size > 0 and (chunk := file.read(min(size, 1 << 20))):
            digest.update(chunk)
            size -= len(chunk)
    return digest


def _answer(url: str, headers: dict[str, str], timeout: tuple[float, float]) -> Any:
    """Send a request and follow redirects, each of which must be safe."""
    import requests

    first = url
    for _ in range(_REDIRECTS):
        answer = requests.get(url, headers=headers, stream=True, timeout=timeout, allow_redirects=False)
        if not answer.is_redirect:
            return answer
        answer.close()
        url = urljoin(url, answer.headers["Location"])
        if not _is_safe(url, first):
            raise InputError(first, f"found a redirect to {url[:200]}, expected one to https")
    raise InputError(first, f"found more than {_REDIRECTS} redirects, expected a file")


def _is_safe(url: str, first: str) -> bool:
    """Return whether a URL uses https, or is on this machine as the `first` URL is."""
    scheme = url.split("://")[0].lower()
    return scheme == "https" or (scheme == "http" and _is_loopback(url) and _is_loopback(first))


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
