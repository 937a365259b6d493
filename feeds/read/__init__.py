"""Reads RSS and Atom: bytes and media type in, a channel and episodes out. Pure: no network, no database."""

from feeds.read.context import WARNINGS
from feeds.read.reader import READER_VERSION, read

__all__ = ["READER_VERSION", "WARNINGS", "read"]
