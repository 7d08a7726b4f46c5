"""Measuring whether a model knows its characters: pictures of each beside references of it, judged by CCIP."""
