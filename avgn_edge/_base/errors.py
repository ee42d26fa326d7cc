"""The package's errors: one line each, that says what failed, why, and what to do."""

from __future__ import annotations

from collections.abc import Callable


class AvgnEdgeError(Exception):
    """Base of every error this package raises on purpose.

    `str(error)` is one line, "what: why: what to do", fit for a person to read.
    """

    def __init__(self, what: str, why: str, what_to_do: str) -> None:
        self.what = what
        self.why = why
        self.what_to_do = what_to_do
        super().__init__(" ".join(f"{what}: {why}: {what_to_do}".split()))

    def __reduce__(self) -> tuple[Callable[..., AvgnEdgeError], tuple[object, ...]]:
        """Let errors come back from worker processes, whatever their classes' own arguments are."""
        return _again, (type(self), self.what, self.why, self.what_to_do)


def _again(kind: type[AvgnEdgeError], what: str, why: str, what_to_do: str) -> AvgnEdgeError:
    error = kind.__new__(kind)
    AvgnEdgeError.__init__(error, what, why, what_to_do)
    return error


class ArgumentError(AvgnEdgeError, ValueError, TypeError):
    """An argument of the Python API is of a type or a value that it cannot have."""


class ClipError(AvgnEdgeError, ValueError):
    """A clip cannot be read, or holds nothing that can be classified."""


class BundleError(AvgnEdgeError, ValueError):
    """A bundle or a checkpoint is missing, damaged, unknown or unsafe."""


class DeviceError(AvgnEdgeError, RuntimeError):
    """A device, an engine or a precision that was asked for cannot be used."""


class BudgetError(AvgnEdgeError, ValueError):
    """A budget cannot be read, or is too small for any answer."""


class DataError(AvgnEdgeError, ValueError):
    """A data set cannot be used for training, calibration or evaluation."""


class MissingExtraError(AvgnEdgeError, ImportError):
    """A command needs packages of an extra that is not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(what, f"{package} is not installed", f"pip install 'avgn-edge[{extra}]'")
