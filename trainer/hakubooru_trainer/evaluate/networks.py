"""Networks in ONNX form: their files, from a folder or from the Hub's cache, and running them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hakubooru.errors import InputError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PIECE: Final = 1 << 20


@dataclass(frozen=True)
class NetworkFiles:
    """The files of a network on this machine."""

    name: str
    """The folder or the name on the Hub that was asked for."""
    repository: str
    """The name on the Hub, `owner/name`; "" for a folder."""
    paths: dict[str, Path]
    """The paths of the files, by their names."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the contents of all files."""
        digest = hashlib.sha256()
        for name, path in sorted(self.paths.items()):
            digest.update(f"{name} {path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
        return f"sha256:{digest.hexdigest()}"


def network_files(name: str, files: Sequence[str], key: str, say: Callable[[str], None]) -> NetworkFiles:
    """Find the files of a network: in a folder, in the Hub's cache, or else on the Hub.

    Args:
        name: a folder, or a model on the Hub: `owner/name`, or `owner/name/folder` for a folder in it.
        files: the names of the files.
        key: the option that names the network, for messages.
        say: is called with a sentence before something is downloaded.

    Raises:
        ModelError: a file is missing and could not be downloaded; the message says where it is to be had.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        paths = {file: folder / file for file in files}
        if missing := [file for file, path in paths.items() if not path.is_file()]:
            raise ModelError(
                f"{folder} has no {', '.join(missing)}; name a folder with {', '.join(files)} in {key}"
            )
        return NetworkFiles(name, "", paths)
    owner, _, rest = name.partition("/")
    repository, _, inside = rest.partition("/")
    if not owner or not repository or name.startswith((".", "/", "~")):
        raise ModelError(
            f'{key} = "{name}" is neither a folder nor a model on the Hub; name a folder with {", ".join(files)}, or '
            "owner/name"
        )
    paths = _from_hub(f"{owner}/{repository}", inside, files, key, say)
    return NetworkFiles(name, f"{owner}/{repository}", paths)


def _from_hub(
    repository: str, inside: str, files: Sequence[str], key: str, say: Callable[[str], None]
) -> dict[str, Path]:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - an extra
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    names = {file: f"{inside}/{file}" if inside else file for file in files}
    paths: dict[str, Path] = {}
    for file, path in names.items():
        try:
            paths[file] = Path(hf_hub_download(repository, path, local_files_only=True))
        except HFValidationError as error:
            raise ModelError(f'{key} = "{repository}" is no name of a model on the Hub: {error}') from error
        except LocalEntryNotFoundError:
            continue
    absent = [file for file in files if file not in paths]
    if absent:
        say(
            f"downloading {', '.join(names[file] for file in absent)} from https://huggingface.co/{repository}"
        )
    for file in absent:
        try:
            paths[file] = Path(hf_hub_download(repository, names[file]))
        except Exception as error:  # the errors of the network libraries below it have no common base
            wanted = " ".join(names[file] for file in files)
            raise ModelError(
                f"{names[file]} of {repository} is not in the Hub's cache and could not be downloaded "
                f"({type(error).__name__}); where there is a network, run: hf download {repository} {wanted} "
                f"--local-dir FOLDER, copy FOLDER here, and name FOLDER{'/' + inside if inside else ''} in {key}"
            ) from error
    return paths


class Network:
    """A network that onnxruntime runs: on a GPU if onnxruntime-gpu is installed, else on the processor.

    Args:
        path: the file.
        input: the name that its input must have; None takes the first.
        output: the name that its output must have; None takes the first.

    Raises:
        InputError: onnxruntime is not installed.
        ModelError: the file is no network, or has other inputs and outputs.
    """

    def __init__(self, path: Path, input: str | None = None, output: str | None = None) -> None:
        try:
            import onnxruntime  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise InputError(
                "scores need onnxruntime; install the extra `evaluate`: pip install '.[evaluate]' in the folder of "
                "hakubooru, or onnxruntime-gpu in its place"
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        available = onnxruntime.get_available_providers()
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, [name for name in wanted if name in available]
            )
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise ModelError(
                f"{path} cannot be read as a network in ONNX form ({error}); download it again"
            ) from error
        inputs = {each.name: each.shape for each in self._session.get_inputs()}
        outputs = [each.name for each in self._session.get_outputs()]
        if (input is not None and input not in inputs) or (output is not None and output not in outputs):
            raise ModelError(
                f"{path} has the inputs {', '.join(inputs)} and the outputs {', '.join(outputs)}, not {input} and "
                f"{output}; name the folder of another model"
            )
        self._path = path
        self._input = input or next(iter(inputs))
        self._output = output or outputs[0]
        self.shape: tuple[Any, ...] = tuple(inputs[self._input])
        """The shape of the input; a text stands for a number that is free."""

    def __call__(self, values: Any) -> Any:
        """Run the network on an array, and return its output.

        Raises:
            ModelError: the network does not take an array of this shape.
        """
        try:
            return self._session.run([self._output], {self._input: values})[0]
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise ModelError(
                f"{self._path} cannot take an array of the shape {values.shape} ({error}); name the folder of another model"
            ) from error
