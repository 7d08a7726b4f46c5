"""Every error that hakubooru raises on purpose.

* HakubooruError
  * InputError               the input is wrong: correct it and call again (exit code 2)
    * DatabaseFileError      a file cannot be opened as a metadata database
      * OldGenerationError   ... because it has an older layout and must be migrated
      * BusyError            ... because another process has locked it
      * UnfinishedWriteError ... because a writer was killed in the middle of a change
    * DumpError              a dump, or a list of tags, cannot be read
    * ExpressionError        Python reads an expression differently than it looks; a TypeError too
    * UnknownTagError        the database does not have a tag
    * SearchError            a search cannot be read, or the database cannot answer it
    * SampleError            a sample asks for more posts than there are
    * RecipeError            a recipe has a wrong or missing value
    * CaptionFormatError     a caption format does not exist, or its values contradict each other
    * SourceError            a source of images has none, or cannot be read
    * DestinationError       a path to write to cannot be used
    * ConfigError            a training configuration has a wrong or missing value
    * DataSetError           a data set cannot be used for training
    * ModelError             a model, or an adapter, cannot be read or does not fit
      * OtherModelError      ... because the adapter was made for another model
  * TrainingError            a training run cannot continue (exit code 1)
    * LostRankError          ... because one of its processes is gone
  * IncompleteError          the work is incomplete: it was done in part, or not at all (exit code 1)

Each message says what is wrong, where, and what to write or do instead.
"""

from __future__ import annotations

from typing import ClassVar


class HakubooruError(Exception):
    """The base of all errors of hakubooru; `exit_code` is the exit code of a command that ends with it."""

    exit_code: ClassVar[int] = 1


class InputError(HakubooruError):
    """The input is wrong: an argument, a file, or a value in a file."""

    exit_code = 2


class DatabaseFileError(InputError):
    """A file cannot be opened as a metadata database."""


class OldGenerationError(DatabaseFileError):
    """A metadata database has an older layout; `hakubooru db migrate` brings it up to date."""


class BusyError(DatabaseFileError):
    """Another process has locked the database."""


class UnfinishedWriteError(DatabaseFileError):
    """A writer was killed in the middle of a change of the database."""


class DumpError(InputError):
    """A dump, or a list of tags, cannot be read."""


class ExpressionError(InputError, TypeError):
    """Python reads an expression differently than it looks, such as `a and b` or `10 < x < 20`."""


class UnknownTagError(InputError):
    """The database does not have a tag."""


class SearchError(InputError):
    """A search cannot be read, or the database cannot answer it; the message shows the place."""


class SampleError(InputError):
    """A sample asks for more posts than there are to draw from."""


class RecipeError(InputError):
    """A recipe has a wrong or missing value."""


class CaptionFormatError(InputError):
    """A caption format does not exist, or its values contradict each other."""


class SourceError(InputError):
    """A source of images has no images, or cannot be read."""


class DestinationError(InputError):
    """A path to write to cannot be used."""


class ConfigError(InputError):
    """A training configuration has a wrong or missing value."""


class DataSetError(InputError):
    """A data set cannot be used for training."""


class ModelError(InputError):
    """A model, or an adapter, cannot be read or does not fit."""


class OtherModelError(ModelError):
    """An adapter was made for another model: it changes layers that this one does not have, or layers of another size."""


class TrainingError(HakubooruError):
    """A training run cannot continue."""


class LostRankError(TrainingError):
    """A training run cannot continue because one of its processes is gone."""


class IncompleteError(HakubooruError):
    """The work is incomplete: it was done in part, or not at all."""
