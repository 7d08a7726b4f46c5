"""Every error that hakubooru raises on purpose.

* HakubooruError
  * InputError               what was asked for cannot be: correct it and call again (exit code 2)
    * DatabaseFileError      a file that cannot be opened as a metadata database
      * OldGenerationError   ... because an older layout has to be migrated first
      * BusyError            ... because another process holds it
      * UnfinishedWriteError ... because a killed writer left a change half done
    * DumpError              a dump, or a list of tags, that cannot be read
    * ExpressionError        an expression that Python reads otherwise than it looks; a TypeError too
    * UnknownTagError        a tag that the database does not have
    * SearchError            a search that cannot be read, or not be answered from the database
    * SampleError            a sample larger than what it is drawn from
    * RecipeError            a recipe that does not say what it must
    * CaptionFormatError     a caption format that does not exist or contradicts itself
    * SourceError            a place for images that holds none, or cannot be read
    * DestinationError       a place to write to that cannot be used
    * ConfigError            a configuration of a training run that does not say what it must
    * DataSetError           a data set that cannot be trained on
    * ModelError             a model, or an adapter, that cannot be read or does not fit
  * TrainingError            a training run that cannot go on (exit code 1)
    * LostRankError          ... because another of its processes is gone
  * IncompleteError          the work was done in part, or not at all (exit code 1)

A message names the value, the rule that it breaks, and the mend.
"""

from __future__ import annotations

from typing import ClassVar


class HakubooruError(Exception):
    """The root of the tree; `exit_code` is what a command ends with."""

    exit_code: ClassVar[int] = 1


class InputError(HakubooruError):
    """What was asked for cannot be."""

    exit_code = 2


class DatabaseFileError(InputError):
    """A file that cannot be opened as a metadata database."""


class OldGenerationError(DatabaseFileError):
    """A metadata database of an older layout."""


class BusyError(DatabaseFileError):
    """Another process holds the database."""


class UnfinishedWriteError(DatabaseFileError):
    """A killed writer left a change half done in the database."""


class DumpError(InputError):
    """A dump, or a list of tags, that cannot be read."""


class ExpressionError(InputError, TypeError):
    """An expression that Python reads otherwise than it looks."""


class UnknownTagError(InputError):
    """A tag that the database does not have."""


class SearchError(InputError):
    """A search that cannot be read, or not be answered from the database; the message shows the place."""


class SampleError(InputError):
    """A sample larger than what it is drawn from."""


class RecipeError(InputError):
    """A recipe that does not say what it must."""


class CaptionFormatError(InputError):
    """A caption format that does not exist or contradicts itself."""


class SourceError(InputError):
    """A place for images that holds none, or cannot be read."""


class DestinationError(InputError):
    """A place to write to that cannot be used."""


class ConfigError(InputError):
    """A configuration of a training run that does not say what it must."""


class DataSetError(InputError):
    """A data set that cannot be trained on."""


class ModelError(InputError):
    """A model, or an adapter, that cannot be read or does not fit."""


class TrainingError(HakubooruError):
    """A training run that cannot go on."""


class LostRankError(TrainingError):
    """Another process of a training run is gone."""


class IncompleteError(HakubooruError):
    """The work was done in part, or not at all."""
