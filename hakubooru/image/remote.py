"""Archives on other machines: `https://`, `hf://`, `s3://`, whatever fsspec knows, read by byte range.

Only archives with an index beside them (`0000.json` beside `0000.tar`) can be read so: an index costs one request,
and each image one more, so that a few thousand images of a set need not cost a terabyte. Images closer together than
the bytes that a request is worth are fetched in one, with what lies between: what it is worth is measured, as
`spans` does for disks, when first much is wanted of an archive of a server.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from hakubooru.errors import SourceError
from hakubooru.image.names import TAR_NAME
from hakubooru.image.spans import runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_T = TypeVar("_T")

ATTEMPTS: Final = 6
"""How often a request is made before it counts as failed."""
FIRST_WAIT: Final = 0.5
"""Seconds before the second attempt; each further wait is twice as long."""
TIMEOUT: Final = 60.0
"""Seconds that a server may take to answer, or stall."""
AT_ONCE: Final = 8
"""Requests at a time, of each worker."""

_MOST: Final = 8 * 2**20
"""Bytes that are fetched in one request, unless one image has more."""
_FEW: Final = 16
"""Images of an archive for fewer of which what a request is worth is not measured: each is fetched by itself."""
_APART: Final = -1
"""In place of a gap: none is read."""
_LEAST_GAP: Final = 512
"""Bytes between two images that are never worth a request: the padding of a tar."""
_LARGEST_GAP: Final = 2**20
"""Bytes that are worth no request's time: somebody pays for them."""
_SHORT: Final = 4096
_LONG: Final = 2**20
_SHORTS: Final = 3
"""Short requests of which the quickest counts; the first connects as well."""

_gaps: Final[dict[tuple[str, str], int]] = {}
"""Of each scheme and host, the bytes that a request is worth."""


def is_remote(place: object) -> bool:
    """Whether a place of images is a URL."""
    return "://" in str(place)


def list_tars(url: str) -> Iterator[tuple[str, int]]:
    """URL and size, in bytes, of every tar that has an index, at and below a URL.

    Raises:
        SourceError: it cannot be listed, has tars without an index, or does not serve byte ranges.
    """
    system = _system(url)
    try:
        names = [url, _json_of(url)] if TAR_NAME.search(url) else _names_below(system, url)
        there = set(names)
        tars = sorted(filter(TAR_NAME.search, there))
        for name in tars:
            if _json_of(name) not in there:
                raise SourceError(
                    f"{name} has no index ({_json_of(name).rpartition('/')[2]}) beside it, by which remote archives "
                    "are read; download it, and give its folder"
                )
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(zip(tars, pool.map(partial(_size, system), tars), strict=True))
        _refuse_whole_bodies(system, found)
    except OSError as error:
        raise SourceError(f"{url} cannot be listed: {error}") from error
    yield from found


def read_index_of(url: str) -> bytes:
    """The JSON beside an archive.

    Raises:
        OSError: it could not be had, after several attempts.
    """
    system = _system(url)
    data: bytes = _patiently(lambda: system.cat_file(_json_of(url)))
    return data


def read_ranges(url: str, ranges: Iterator[tuple[int, int]]) -> Iterator[bytes]:
    """The bytes from start to end (not included) of each range, in ascending order, some fetched ahead.

    In memory are at most one request's answer more than are made at a time, of 8 MiB each or of one larger range.

    Raises:
        OSError: a range could not be had, after several attempts.
    """
    system = _system(url)
    # What reads by way of a file, as the Hub's does, would fetch megabytes ahead of each image.
    options = {} if system.async_impl else {"cache_type": "none"}

    def ask(start: int, end: int) -> bytes:
        return _whole(system.cat_file(url, start=start, end=end, **options), end - start)

    def fetch(run: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], bytes]:
        return run, _patiently(partial(ask, run[0][0], run[-1][1]))

    first = list(itertools.islice(ranges, _FEW))
    gap = _gap(url, ask, first) if len(first) == _FEW else _APART
    together = runs(itertools.chain(first, ranges), gap, _MOST)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ahead = deque(pool.submit(fetch, run) for run in itertools.islice(together, AT_ONCE))
        try:
            while ahead:
                run, data = ahead.popleft().result()
                ahead.extend(pool.submit(fetch, run) for run in itertools.islice(together, 1))
                begin = run[0][0]
                for start, end in run:
                    yield data[start - begin : end - begin]
        finally:
            pool.shutdown(cancel_futures=True)


def _gap(url: str, ask: Callable[[int, int], bytes], ranges: list[tuple[int, int]]) -> int:
    """Bytes between two ranges that are fetched rather than left out, measured where the first ranges lie."""
    server = urlsplit(url)[:2]
    start, end = ranges[0][0], ranges[-1][1]
    if server not in _gaps and end - start >= _LONG:  # less takes no time that could be told from a request's
        _gaps[server] = _measured(ask, start)
    return _gaps.get(server, _LEAST_GAP)


def _measured(ask: Callable[[int, int], bytes], start: int) -> int:
    def seconds(length: int) -> float:
        begun = time.perf_counter()
        ask(start, start + length)
        return time.perf_counter() - begun

    # Attempts that failed, and the waits after them, do not count.
    request = min(_patiently(partial(seconds, _SHORT)) for _ in range(_SHORTS))
    byte = max(_patiently(partial(seconds, _LONG)) - request, 1e-9) / (_LONG - _SHORT)
    # While one request waits for its answer, the others do not stand still.
    return int(min(max(request / AT_ONCE / byte, _LEAST_GAP), _LARGEST_GAP))


def _names_below(system: Any, url: str) -> list[str]:
    """URLs of the files at and below a URL."""
    if not _is_http(url):
        _patiently(partial(system.ls, url, detail=False))  # `find` keeps quiet about what it cannot reach
        return [system.unstrip_protocol(name) for name in _patiently(partial(system.find, url))]
    # Over HTTP `find` makes a request for each folder, and leaves out those that fail.
    names: list[str] = []
    seen: set[str] = set()
    pending = [url]
    while pending:
        folder = pending.pop().rstrip("/")
        if folder in seen:  # a page can link to itself
            continue
        seen.add(folder)
        for found in _patiently(partial(system.ls, folder, detail=True)):
            (pending if found["type"] == "directory" else names).append(found["name"])
    return names


def _size(system: Any, url: str) -> int:
    """Bytes of an archive."""

    def ask() -> int:
        try:
            size: int | None = system.size(url)
        except FileNotFoundError as error:
            # Over HTTP fsspec calls so whatever went wrong; only what is not there is not asked for again.
            if not _is_http(url) or error.__cause__ is None or getattr(error.__cause__, "status", 0) == 404:
                raise
            raise error.__cause__ from None
        if size is None:
            raise OSError(f"the server does not say how large {url} is")
        return size

    return _patiently(ask)


def _refuse_whole_bodies(system: Any, tars: list[tuple[str, int]]) -> None:
    """Ask for one byte of one archive: to each image such a server would answer with all of its archive."""
    some = next(((name, size) for name, size in tars if size > 1 and _is_http(name)), None)
    if some is None:
        return
    url, size = some

    def ignores_ranges() -> bool:
        with system.open(url, size=size, cache_type="none") as file:
            file.seek(1)  # for the first byte the beginning of the whole would do
            try:
                file.read(1)
            except ValueError:  # of an answer whose body was not read
                return True
        return False

    if _patiently(ignores_ranges):
        raise SourceError(
            f"{url} is sent whole where a byte of it is asked for, and remote archives are read by byte range; "
            "give a server that serves ranges (nginx, Apache, S3), or download the archives and give their folder"
        )


def _whole(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise OSError(
            f"{len(data):,} bytes came in place of {length:,}; the server may not serve byte ranges"
        )
    return data


def _patiently(request: Callable[[], _T]) -> _T:
    """The result of a request that is made again when it fails, with longer and longer waits."""
    for attempt in range(ATTEMPTS):
        try:
            return request()
        except FileNotFoundError:
            raise
        except Exception as error:  # noqa: BLE001 - every backend has errors of its own; the last is raised
            last = error
        if attempt + 1 < ATTEMPTS:
            time.sleep(FIRST_WAIT * 2**attempt)
    raise OSError(f"{last or type(last).__name__} (after {ATTEMPTS} attempts)") from last


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _json_of(url: str) -> str:
    return TAR_NAME.sub(".json", url)


@lru_cache(4)
def _system(url: str) -> Any:
    """The file system of a URL."""
    try:
        import fsspec  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SourceError(f"{url} needs the extra `remote`: pip install 'fsspec[http]'") from error
    options: dict[str, Any] = {}
    if _is_http(url):
        try:
            import aiohttp  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise SourceError(f"{url} needs the extra `remote`: pip install 'fsspec[http]'") from error
        options = {
            "client_kwargs": {"timeout": aiohttp.ClientTimeout(sock_connect=TIMEOUT, sock_read=TIMEOUT)}
        }
    try:
        system, _ = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:  # fsspec's own words name the package
        raise SourceError(f"{url} needs a package that is not installed: {error}") from error
    except ValueError as error:
        raise SourceError(f"{url} cannot be read: {error}") from error
    return system
