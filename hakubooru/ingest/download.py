"""Download sets that are named by an address: whole files, which stay in a cache until they change."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakubooru.errors import DumpError
from hakubooru.files import replacing
from hakubooru.ingest.extras import library
from hakubooru.ingest.folders import ENDINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

_HUB: Final = re.compile(r"hf://datasets/(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(/(?P<path>.*))?")
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://")


def local_paths(source: str | os.PathLike[str]) -> list[Path]:
    """The files on this machine that a source stands for: a path itself, and an address's files after their download.

    Args:
        source: a path; `hf://datasets/OWNER/NAME`, perhaps with `@REVISION` and the path of a file or a folder; or another
            address of one file, such as `https://…`.

    Raises:
        DumpError: the address cannot be read, holds no file of records, or needs a library that is not installed.
    """
    address = os.fspath(source)
    if not isinstance(source, str) or not _ADDRESS.match(address):
        return [Path(source)]
    if address.startswith("hf://"):
        match = _HUB.fullmatch(address)
        if match is None:
            raise DumpError(f"{address} is no data set of the Hub: write hf://datasets/OWNER/NAME/PATH")
        return _of_hub(address, match["repo"], match["revision"], (match["path"] or "").strip("/"))
    return [_of_web(address)]


def _of_hub(address: str, repo: str, revision: str | None, path: str) -> list[Path]:
    hub = library("huggingface_hub", address, "a data set of the Hub")
    endpoint = os.environ.get("HF_ENDPOINT")
    options = {"repo_type": "dataset", "revision": revision}
    with _explained(address):
        files = hub.HfApi(endpoint=endpoint).list_repo_files(repo, **options)
        below = [name for name in sorted(files) if not path or name == path or name.startswith(path + "/")]
        chosen = [name for name in below if name == path or name.rpartition(".")[2].lower() in ENDINGS]
        if not chosen:
            raise DumpError(
                f"{address} holds no file of records; its files: {', '.join(sorted(files)[:10]) or 'none'}: name one of them"
            )
        return [Path(hub.hf_hub_download(repo, name, endpoint=endpoint, **options)) for name in chosen]


def _of_web(address: str) -> Path:
    import platformdirs  # noqa: PLC0415 - only an address needs it

    fsspec = library("fsspec", address, "an address")
    with _explained(address):
        system, path = fsspec.core.url_to_fs(address)
        info = system.info(path)
        version = [str(info.get(key)) for key in ("ETag", "etag", "mtime", "LastModified", "size")]
        # A folder for each address and version, so that the file keeps its name.
        place, edition = (hashlib.sha256(text.encode()).hexdigest()[:16] for text in (address, repr(version)))
        folder = platformdirs.user_cache_path("hakubooru") / "downloads" / place
        file: Path = folder / edition / (path.rstrip("/").rpartition("/")[2].partition("?")[0] or "file")
        if not file.exists():
            shutil.rmtree(folder, ignore_errors=True)  # an earlier version of it
            file.parent.mkdir(parents=True)
            with replacing(file) as beside:
                system.get_file(path, str(beside))
    return file


@contextmanager
def _explained(address: str) -> Iterator[None]:
    try:
        yield
    except DumpError:
        raise
    except Exception as error:
        # The libraries raise errors of their own, of the system, and of whatever they fetch with.
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DumpError(
            f"{address} cannot be downloaded: {reason}; check the address, and log in with `hf auth login` if the set asks for it"
        ) from error
