"""Problems of an input, collected so that one message lists all of them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hakubooru.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Problems:
    """A list of problems that independent checks note."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Note an input error of the block, and do not raise it."""
        try:
            yield
        except InputError as error:
            self.add(str(error))

    def add(self, text: str) -> None:
        """Note a problem, once."""
        if text not in self.texts:
            self.texts.append(text)

    def raise_as(self, kind: type[InputError], where: str = "") -> None:
        """Raise all problems as one error of one line; do nothing if there are none.

        Args:
            kind: the class of the error.
            where: what the problems are about, such as a file; it begins the message.

        Raises:
            InputError: there are problems; of the class `kind`.
        """
        if not self.texts:
            return
        text = self.texts[0]
        if len(self.texts) > 1:
            numbered = "; ".join(f"({number}) {text}" for number, text in enumerate(self.texts, 1))
            text = f"{len(self.texts)} things are wrong: {numbered}"
        raise kind(f"{where}: {text}" if where else text)
