"""Exceptions of the Hub's libraries, wrapped as they wrap them."""

from __future__ import annotations

import httpx2
import pytest
from huggingface_hub import constants, errors

from unlearn_cli.data.hub_errors import hub_error
from unlearn_cli.errors import EXIT_FAILED, EXIT_USAGE, UnlearnError


def answered(kind: type[errors.HfHubHTTPError], status: int, path: str = "/org/m/resolve/main/config.json") -> Exception:
    request = httpx2.Request("GET", f"{constants.ENDPOINT}{path}")
    return kind("refused", response=httpx2.Response(status, request=request))


def shown(error: Exception, kind: str = "model", *, upload: bool = False) -> UnlearnError:
    with pytest.raises(UnlearnError) as caught, hub_error("org/m", kind, upload=upload):
        raise error
    return caught.value


def wrapped(cause: Exception, *, hidden: bool = False) -> Exception:
    """As transformers does, or as `datasets` does with `from None`."""
    try:
        try:
            raise cause
        except Exception as error:
            raise OSError("something went wrong") from (None if hidden else error)
    except OSError as error:
        return error


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    ("cause", "message", "exit_code"),
    [
        (answered(errors.GatedRepoError, 403), "model org/m is gated", EXIT_USAGE),
        (answered(errors.RepositoryNotFoundError, 404), "model org/m not found at ", EXIT_USAGE),
        (answered(errors.RevisionNotFoundError, 404, "/api/models/org/m/revision/refs%2Fpr%2F1"),
         "model org/m has no revision 'refs/pr/1'", EXIT_USAGE),
        (answered(errors.RemoteEntryNotFoundError, 404), "model org/m has no file config.json", EXIT_USAGE),
        (answered(errors.DisabledRepoError, 403), "model org/m has been disabled", EXIT_USAGE),
        (answered(errors.HfHubHTTPError, 401), "no access to model org/m (401)", EXIT_USAGE),
        (answered(errors.HfHubHTTPError, 429), "the Hub answered 429 for model org/m", EXIT_FAILED),
        (errors.OfflineModeIsEnabled("off"), "offline, and model org/m is not in the cache", EXIT_USAGE),
        (httpx2.ConnectError("refused"), "cannot reach ", EXIT_FAILED),
        (httpx2.ReadTimeout("slow"), "cannot reach ", EXIT_FAILED),
        (httpx2.RemoteProtocolError("closed"), "the download of model org/m broke off", EXIT_FAILED),
        (OSError("Consistency check failed: file should be of size 2 but has size 1"), "the download of", EXIT_FAILED),
    ],
)  # fmt: skip
def test_known(cause: Exception, message: str, exit_code: int, hidden: bool) -> None:
    error = shown(wrapped(cause, hidden=hidden))
    assert error.message.startswith(message)
    assert error.exit_code == exit_code
    assert error.hint


def test_pages_and_commands_by_kind() -> None:
    assert f"{constants.ENDPOINT}/datasets/org/m," in shown(answered(errors.GatedRepoError, 403), "dataset").hint
    assert f"{constants.ENDPOINT}/org/m," in shown(answered(errors.GatedRepoError, 403)).hint
    assert shown(errors.OfflineModeIsEnabled("off")).hint == "while online, run: hf download org/m"
    assert shown(errors.OfflineModeIsEnabled("off"), "dataset").hint.endswith("hf download org/m --repo-type dataset")


@pytest.mark.parametrize(
    "error", [ValueError("shape"), OSError(28, "No space left"), UnlearnError("ours"), KeyboardInterrupt()]
)
def test_everything_else_passes_unchanged(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, hub_error("org/m", "model"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (errors.OfflineModeIsEnabled("off"), "offline, and nothing can be uploaded to org/m"),
        (httpx2.ConnectError("refused"), "cannot reach "),
        (httpx2.RemoteProtocolError("closed"), "the upload of model org/m broke off"),
    ],
)
def test_an_upload_is_no_download(cause: Exception, message: str) -> None:
    error = shown(cause, upload=True)
    assert error.message.startswith(message) and "the same command" in error.hint
    assert "download" not in error.hint and "cache" not in error.message
