"""Turn exceptions that libraries raise on a user's model into one error with the next step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from unlearn_cli.errors import UnlearnError, out_of_memory

UNREADABLE = "its files may be damaged, incomplete or made for another version: copy or download them again"
DAMAGED = "the file is damaged or was copied in part: copy or download it again"


@contextmanager
def boundary(subject: str, hint: str | None = None) -> Iterator[None]:
    """A context that turns every exception into an UnlearnError.

    Only calls of libraries on the user's files belong inside. An error in our own code would be reported as the user's.

    Args:
        subject: the user's file or model, as the beginning of the message.
        hint: the next step for errors without a more precise one; None: `UNREADABLE`.

    Raises:
        UnlearnError: for any exception in the block.
    """
    try:
        yield
    except UnlearnError:
        raise
    except Exception as error:
        raise explained(error, subject, hint) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what Rust code raises (tokenizers, safetensors)
            raise
        raise UnlearnError(
            f"{subject}: {str(error).splitlines()[0] if str(error) else 'panic'}", hint or UNREADABLE
        ) from error


def explained(error: Exception, subject: str, hint: str | None = None) -> UnlearnError:
    """The error to show for an exception of a library, by its kind."""
    if (memory := out_of_memory(error)) is not None:
        return memory
    hint = hint or UNREADABLE
    if isinstance(error, ImportError):
        package = (error.name or "").partition(".")[0]
        missing = isinstance(error, ModuleNotFoundError) and package
        way = f"pip install {package}" if missing else hint
        return UnlearnError(f"{subject}: a package is missing or broken: {first_line(error)}", way)
    if type(error).__name__ == "SafetensorError":
        return UnlearnError(f"{subject}: a .safetensors file cannot be read: {first_line(error)}", DAMAGED)
    if isinstance(error, KeyError):
        return UnlearnError(f"{subject}: {first_line(error)} is missing or unknown", hint)
    return UnlearnError(f"{subject}: {first_line(error)}", hint)


def first_line(error: Exception) -> str:
    """The first line of an exception's text; its kind where the text says too little by itself."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if lines[0].endswith(":") and len(lines) > 1:
        lines[0] = f"{lines[0]} {lines[1]}"
    return (
        lines[0]
        if isinstance(error, (OSError, ValueError, KeyError, RuntimeError))
        else f"{type(error).__name__}: {lines[0]}"
    )
