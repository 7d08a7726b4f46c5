"""Reading archives on other machines by byte range: `https://`, `hf://`, `s3://`, and whatever else fsspec reads.

An archive needs a published index (`0000.json` for `0000.tar`). The index takes one request, and each image one more. So a
few thousand images do not require a download of terabytes.

Images that lie close together are fetched in one request, with the bytes between them if these are few: at most a tenth
of the bytes that are wanted.
"""

from __future__ import annotations

import json
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hakubooru.errors import SourceError
from hakubooru.files import is_remote
from hakubooru.image.layouts import TAR_NAME
from hakubooru.image.published import FOLDER, Listing, files_below, json_of, known_places
from hakubooru.image.ranges import runs
from hakubooru.processes import ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_T = TypeVar("_T")

ATTEMPTS: Final = 6
"""How often a request is tried before it counts as failed."""
WAIT: Final = "HAKUBOORU_REMOTE_WAIT"
"""The environment variable with the seconds before the second attempt; each further wait is twice as long."""
TIMEOUT: Final = "HAKUBOORU_REMOTE_TIMEOUT"
"""The environment variable with the seconds that a server may take to answer, or pause within an answer."""
_SECONDS: Final = {WAIT: 0.5, TIMEOUT: 60.0}
"""The seconds where a variable is not set."""
AT_ONCE: Final = 32
"""Parallel requests of each worker. A server that answers after 50 ms then gives some 640 answers a second."""

_MOST: Final = 2 * 2**20
"""The most bytes of one request, unless a single image has more."""
_GAP: Final = 512
"""Bytes between two images that are always fetched rather than skipped: the padding of a tar."""
_HEADERS: Final = 2**14
"""The bytes of a request for headers."""
_SHARE: Final = 0.1
"""The most bytes between two images that are fetched with them, by the bytes of the second image."""

_VERSION_KEYS: Final = ("ETag", "Content-MD5", "Digest", "Last-Modified", "LastModified", "blob_id", "mtime")
"""What the file systems of HTTP, S3, the Hub and others say of a file that changes with its contents."""


@dataclass(frozen=True)
class RemoteTar:
    """A tar on another machine."""

    url: str
    size: int
    """Bytes of the tar."""
    index: str
    """The URL of its published index."""


def list_tars(url: str, places: Sequence[str] = ()) -> list[RemoteTar]:
    """Return every tar at and below a URL, with its index.

    Args:
        url: a tar, or a place that can be listed.
        places: further URLs and folders that hold indexes.

    Raises:
        SourceError: the URL cannot be listed, a tar has no index, or the server does not serve byte ranges.
    """
    system = _system(url)
    try:
        names = _names_below(system, url)
        tars = sorted(filter(TAR_NAME.search, set(names)))
        indexes = _indexes(url, tars, names, places)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            sizes = list(zip(tars, pool.map(partial(_size, system), tars), strict=True))
        _refuse_whole_bodies(system, sizes)
    except OSError as error:
        raise SourceError(f"{url} cannot be listed: {error}; check the URL and the connection") from error
    return [RemoteTar(*sized, indexes[sized[0]]) for sized in sizes]


def _indexes(url: str, tars: Sequence[str], names: Sequence[str], places: Sequence[str]) -> dict[str, str]:
    """Return the index of each tar, by the tar's URL.

    It lies below the URL itself, in a folder `index` beside it, in a known repository, or in another place.
    """
    folder = url.rstrip("/").rpartition("/")[0] if TAR_NAME.search(url) else url.rstrip("/")
    above = folder.rpartition("/")[0]
    sibling = [f"{above}/{FOLDER}"] if "//" in above else []  # above the root of a server is nothing
    searched = iter([*places, *known_places(url), *sibling])
    beside, listing = set(names), Listing(names)
    indexes: dict[str, str] = {}
    missing = list(tars)
    while missing:
        for tar in missing:
            name = json_of(tar)
            indexes[tar] = name if name in beside else listing.index_of(tar)
        missing = [tar for tar in missing if not indexes[tar]]
        place = next(searched, "")
        if missing and not place:
            raise SourceError(
                f"{missing[0]} has no index ({json_of(missing[0]).rpartition('/')[2]}) beside it, which a remote archive "
                "needs; name the place of the indexes with --index, or download the archive and name its folder"
            )
        beside, listing = set(), Listing(_jsons_below(place) if missing else ())
    return indexes


def _jsons_below(place: str) -> list[str]:
    if not is_remote(place):
        return files_below([place])
    try:
        return _names_below(_system(place), place)
    except (OSError, SourceError):  # a place that was tried, and is not there
        return []


def read_url(url: str) -> bytes:
    """Fetch a file, which may also be on this machine.

    Raises:
        OSError: the file could not be fetched after several attempts.
    """
    if not is_remote(url):
        return Path(url).read_bytes()
    system = _system(url)
    data: bytes = with_retries(lambda: system.cat_file(url))
    return data


def version_of(url: str) -> str:
    """Return a text that is another one when the file of a URL is another one; "" if the server does not say.

    It has the file's size, and its tag, hash or time of change, whichever the server gives.
    """
    if not is_remote(url):
        return ""
    try:
        info = _system(url).info(url)
    except Exception:  # noqa: BLE001 - every backend has errors of its own; reading the file has the message
        return ""
    known = {key: str(info[key]) for key in _VERSION_KEYS if info.get(key)}
    return json.dumps({"size": info["size"], **known}) if known and info.get("size") else ""


@contextmanager
def opened(url: str, size: int) -> Iterator[Any]:
    """Open an archive for a `with` statement, to read a few headers of it; each jump takes a request.

    Raises:
        OSError: it cannot be read.
    """
    system = _system(url)
    options = {"size": size} if _is_http(url) else {}
    try:
        with system.open(url, "rb", block_size=_HEADERS, cache_type="readahead", **options) as file:
            yield file
    except OSError:
        raise
    except Exception as error:  # every backend has errors of its own
        raise OSError(f"{url} cannot be read: {error}") from error


def read_ranges(url: str, ranges: Iterator[tuple[int, int]]) -> Iterator[bytes]:
    """Yield the bytes of each range of an archive; some are fetched ahead.

    Memory holds the answers of at most `AT_ONCE` + 1 requests, each of 2 MiB or of one larger range.

    Args:
        url: the archive.
        ranges: start and end (not included) of each range, in bytes, ascending.

    Raises:
        OSError: a range could not be fetched after several attempts.
    """
    system = _system(url)
    # File systems that read through a file object, such as the Hub's, would fetch megabytes ahead of each image.
    options = {} if system.async_impl else {"cache_type": "none"}

    def ask(start: int, end: int) -> bytes:
        return _whole(system.cat_file(url, start=start, end=end, **options), end - start)

    def fetch(run: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], bytes]:
        return run, with_retries(partial(ask, run[0][0], run[-1][1]))

    together = runs(ranges, _MOST, gap=_GAP, share=_SHARE)
    for run, data in ahead(ThreadPoolExecutor(AT_ONCE), fetch, together, AT_ONCE):
        begin = run[0][0]
        for start, end in run:
            yield data[start - begin : end - begin]


def _names_below(system: Any, url: str) -> list[str]:
    """Return the URLs of the files at and below a URL."""
    if TAR_NAME.search(url):
        return [
            name for name in (url, json_of(url)) if name == url or with_retries(partial(system.exists, name))
        ]
    if not _is_http(url):
        with_retries(
            partial(system.ls, url, detail=False)
        )  # fails if the URL cannot be reached; `find` does not
        return [system.unstrip_protocol(name) for name in with_retries(partial(system.find, url))]
    # Over HTTP `find` makes a request for each folder, and leaves out those that fail.
    names: list[str] = []
    seen: set[str] = set()
    pending = [url]
    while pending:
        folder = pending.pop().rstrip("/")
        if folder in seen:  # a page can link to itself
            continue
        seen.add(folder)
        for entry in with_retries(partial(system.ls, folder, detail=True)):
            (pending if entry["type"] == "directory" else names).append(entry["name"])
    return names


def _size(system: Any, url: str) -> int:
    """Return the bytes of an archive."""

    def ask() -> int:
        try:
            size: int | None = system.size(url)
        except FileNotFoundError as error:
            # Over HTTP, fsspec raises this for every failure. Only a missing file is not tried again.
            if not _is_http(url) or error.__cause__ is None or getattr(error.__cause__, "status", 0) == 404:
                raise
            raise error.__cause__ from None
        if size is None:
            raise OSError(f"the server does not say how large {url} is")
        return size

    return with_retries(ask)


def _refuse_whole_bodies(system: Any, tars: list[tuple[str, int]]) -> None:
    """Raise if a server ignores byte ranges: it would answer each request for an image with the whole archive.

    Raises:
        SourceError: the server sends a whole archive for one byte of it.
    """
    some = next(((name, size) for name, size in tars if size > 1 and _is_http(name)), None)
    if some is None:
        return
    url, size = some

    def ignores_ranges() -> bool:
        with system.open(url, size=size, cache_type="none") as file:
            file.seek(1)  # a request for the first byte could be answered by the beginning of the whole file
            try:
                file.read(1)
            except ValueError:  # fsspec refuses an answer that is longer than the range
                return True
        return False

    if with_retries(ignores_ranges):
        raise SourceError(
            f"the server of {url} ignores byte ranges, which remote archives need; use a server that serves ranges "
            "(nginx, Apache, S3), or download the archives and name their folder"
        )


def _whole(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise OSError(
            f"the server sent {len(data):,} bytes instead of {length:,}; perhaps it does not serve byte ranges"
        )
    return data


def with_retries(request: Callable[[], _T]) -> _T:
    """Make a request, and again if it fails, after longer and longer waits; return its result."""
    wait = _seconds(WAIT)
    last: Exception
    for attempt in range(ATTEMPTS):
        try:
            return request()
        except FileNotFoundError:
            raise
        except json.JSONDecodeError as error:  # an answer that was cut off
            last = error
        except ValueError as error:  # a malformed address
            raise OSError(str(error)) from error
        except Exception as error:
            if _is_refused(error):
                raise OSError(
                    f"access is refused: {error}; log in (for the Hub `hf auth login` or HF_TOKEN), or ask the owner for access"
                ) from error
            last = error
        if attempt + 1 < ATTEMPTS:
            time.sleep(wait * 2**attempt)
    raise OSError(f"{last or type(last).__name__} (after {ATTEMPTS} attempts)") from last


def _is_refused(error: Exception) -> bool:
    """Whether a server knows the address, but does not let this user read it."""
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return isinstance(error, PermissionError) or status in {401, 403}


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _seconds(name: str) -> float:
    """Return the seconds of an environment variable.

    Raises:
        SourceError: it is no number above 0.
    """
    text = os.environ.get(name, "")
    if not text:
        return _SECONDS[name]
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise SourceError(
            f"{name} is {text!r} and must be a number of seconds above 0, such as {_SECONDS[name]:g}"
        )
    return seconds


def _system(url: str) -> Any:
    """Return the file system of a URL."""
    return _system_within(url, _seconds(TIMEOUT))


@lru_cache(4)
def _system_within(url: str, timeout: float) -> Any:
    """Return the file system of a URL, whose requests over HTTP end after some seconds without an answer."""
    options: dict[str, Any] = {}
    try:
        import fsspec  # noqa: PLC0415 - an extra

        if _is_http(url):
            import aiohttp  # noqa: PLC0415 - an extra

            limits = aiohttp.ClientTimeout(sock_connect=timeout, sock_read=timeout)
            options = {"client_kwargs": {"timeout": limits}}
    except ImportError as error:
        raise SourceError(
            f"{url} needs the extra `remote`: pip install '.[remote]' in the folder of hakubooru"
        ) from error
    try:
        system, _ = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:  # the message of fsspec names the package
        raise SourceError(f"{url} needs a package that is not installed: {error}") from error
    except (TypeError, ValueError) as error:  # the address lacks a part
        raise SourceError(f"{url} cannot be read: {error}") from error
    return system
