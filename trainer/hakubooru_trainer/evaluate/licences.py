"""The licences of the models in an evaluation, with their restrictions of use and their sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hakubooru.errors import InputError
from hakubooru_trainer.model.header import read_header

if TYPE_CHECKING:
    from pathlib import Path

UNKNOWN: Final = "not stated in its file; see where you have it from"


class Licence(NamedTuple):
    """The licence of a model."""

    model: str
    """The model's name."""
    role: str
    """What the evaluation uses it for."""
    terms: str
    """The licence, and its restrictions of use."""
    source: str
    """Where the model comes from."""


_OPENRAIL: Final = (
    "OpenRAIL: use for any purpose that its list of restrictions does not forbid (harm, discrimination, unlawful use); whoever "
    "passes it on must pass on the restrictions"
)
_APACHE: Final = "Apache License 2.0"
_TERMS: Final = {"deepghs/ccip_onnx": _OPENRAIL, "deepghs/ccip": _OPENRAIL}
_OWNERS: Final = {"SmilingWolf": _APACHE}
"""The licences that the models' pages stated in 2026."""


def of_network(name: str, repository: str, role: str) -> Licence:
    """The licence of a network from the Hub, or of a folder, whose licence is not known."""
    if not repository:
        return Licence(name, role, UNKNOWN, "a folder")
    terms = _TERMS.get(repository) or _OWNERS.get(repository.partition("/")[0]) or "see its page"
    return Licence(name, role, terms, f"https://huggingface.co/{repository}")


def of_weights(path: Path, role: str) -> Licence:
    """The licence of a checkpoint or an adapter, as its metadata states it (`modelspec.license`)."""
    metadata: dict[str, str] = {}
    if path.is_file():
        try:
            metadata = read_header(path).metadata
        except InputError:
            metadata = {}
    return Licence(
        metadata.get("modelspec.title", path.name),
        role,
        metadata.get("modelspec.license", UNKNOWN),
        str(path),
    )
