"""What a person reads on the terminal and this package does not say: click's messages, the system's and
Python's; and single words that stand in the holes of a text."""

from __future__ import annotations

from typing import Final

__all__ = ["FROM_ELSEWHERE", "WORDS_IN_TEXTS"]

WORDS_IN_TEXTS: Final = (
    "text", "nothing", "ahead", "behind", "second", "minute", "read", "keep", "hour", "day", "somebody", "is",
    "are", "was", "were", "empty", "infinity", "removed", "replaced", "grown", "shrunk", "paused", "sending",
    "lower", "stopped", "halted", "done", "following", "waiting", "cancelled", "failed", "unknown", "pending",
    "intended", "message", "settings", "table", "index", "trigger", "view",
)  # fmt: skip
"""Said in a text by another one, `{0} is {1}`; a word that is not here may be a name of the user's."""

FROM_ELSEWHERE: Final = (
    # click
    "Usage", "Options", "Commands", "Arguments", "default", "required",
    "Show this message and exit.",
    "Show the version and exit.",
    "No such option: {0}",
    "No such option {0!r}.",
    "No such option: {0} Did you mean {1}?",
    "No such option: {0} (Possible options: {1})",
    "No such option {0!r}. Did you mean {1}?",
    "No such option {0!r}. (Did you mean one of: {1}?)",
    "Missing argument {0!r}.",
    "Missing option {0!r}.",
    "Missing option {0!r}. Choose from: {1}",
    "Missing command.",
    "No such command {0!r}.",
    "No such command {0!r}. Did you mean {1}?",
    "Got unexpected extra argument ({0})",
    "Got unexpected extra arguments ({0})",
    "Option {0!r} requires an argument.",
    "Option {0!r} does not take a value.",
    "Invalid value for {0!r}: {1}",
    "Invalid value: {0}",
    "{0!r} is not a valid integer.",
    "{0!r} is not a valid float.",
    "{0!r} is not a valid integer range.",
    "{0!r} is not a valid float range.",
    "{0!r} is not one of {1}.",
    "{0!r} is not {1}.",
    "{0} is not in the range {1}.",
    "Directory {0!r} is a file.",
    # the system
    "No such file or directory",
    "Permission denied",
    "Operation not permitted",
    "Is a directory",
    "Not a directory",
    "File exists",
    "No space left on device",
    "Read-only file system",
    "Connection refused",
    "Connection reset by peer",
    "Connection timed out",
    "No route to host",
    "Network is unreachable",
    "Address already in use",
    "Broken pipe",
    "Too many open files",
    "File name too long",
    "Too many levels of symbolic links",
    "Disk quota exceeded",
    "File too large",
    "Input/output error",
    "Invalid argument",
    "Device or resource busy",
    "Bad file descriptor",
    "Exec format error",
    "No such device or address",
    "Name or service not known",
    "Temporary failure in name resolution",
    "No address associated with hostname",
    "Cannot connect to host {0} ssl:{1} [{2}]",
    "Connect call failed {0}",
    "[Errno {0:d}] {1}",
    # Python
    "Invalid statement (at line {0:d}, column {1:d})",
    "Invalid value (at line {0:d}, column {1:d})",
    "Invalid value (at end of document)",
    "Expected '=' after a key in a key/value pair (at line {0:d}, column {1:d})",
    "Expected ']' at the end of a table declaration (at line {0:d}, column {1:d})",
    "Expected newline or end of document after a statement (at line {0:d}, column {1:d})",
    "Cannot overwrite a value (at line {0:d}, column {1:d})",
    "Cannot declare {0} twice (at line {1:d}, column {2:d})",
    "Unclosed array (at line {0:d}, column {1:d})",
    "Unclosed array (at end of document)",
    "Unclosed inline table (at line {0:d}, column {1:d})",
    "Unterminated string (at end of document)",
    "Unterminated string (at line {0:d}, column {1:d})",
    "Illegal character {0!r} (at line {1:d}, column {2:d})",
    "No closing quotation",
    # durations
    "{0:d} s",
    "{0:d} d {1:d} h",
    # types in the holes of a text
    "a {0}",
)  # fmt: skip
