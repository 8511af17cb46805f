"""Turn the Hub's many exceptions into one error with the next step. Shared by data sets and models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from huggingface_hub import constants, errors
from huggingface_hub.utils import httpx

from unlearn_cli.errors import EXIT_FAILED, UnlearnError

Kind = Literal["dataset", "model"]

_CALLED = {"dataset": "data set", "model": "model"}


@contextmanager
def hub_error(repo: str, kind: Kind, *, upload: bool = False) -> Iterator[None]:
    """A context that turns exceptions of the Hub into an UnlearnError. Other exceptions pass unchanged.

    Libraries wrap these exceptions in plain OSErrors and ValueErrors, so the whole chain of causes is searched.

    Args:
        repo: org/name.
        kind: kind of the repository.
        upload: the block uploads, so the hint proposes no download.

    Raises:
        UnlearnError: gated, missing, private, unknown revision, offline (exit code 2); no connection, trouble at the
            Hub, a download that broke off (exit code 1).
    """
    try:
        yield
    except UnlearnError:
        raise
    except Exception as error:
        known = explain(error, repo, kind, upload=upload)
        if known is None:
            raise
        raise known from error


@contextmanager
def answered(repo: str, kind: Kind, *, upload: bool = False) -> Iterator[None]:
    """As `hub_error`, for a block that holds nothing but questions to the Hub: whatever else is raised is about its answer.

    Raises:
        UnlearnError: also where the answer is not one of a Hub (exit code 1).
    """
    try:
        with hub_error(repo, kind, upload=upload):
            yield
    except UnlearnError:
        raise
    except Exception as error:
        what = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise UnlearnError(
            f"the answer of {constants.ENDPOINT} about {_CALLED[kind]} {repo} cannot be read: {what}",
            "try again later; if HF_ENDPOINT is set, check that it is the address of a Hub",
            EXIT_FAILED,
        ) from error


def chain(error: BaseException) -> list[BaseException]:
    """An exception and its causes, outermost first, including causes that `raise ... from None` hides."""
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or link.__context__
    return links


def explain(error: BaseException, repo: str, kind: Kind, *, upload: bool = False) -> UnlearnError | None:
    """The error to show for an exception of the Hub; None for other exceptions."""
    for link in chain(error):
        if isinstance(link, errors.HfHubHTTPError):
            return _refused(link, f"{_CALLED[kind]} {repo}", page(repo, kind))
        if isinstance(link, errors.OfflineModeIsEnabled):
            return offline_upload(repo) if upload else offline(repo, kind)
        if isinstance(link, (httpx.RemoteProtocolError, httpx.ReadError, errors.XetDownloadError)) or (
            isinstance(link, OSError) and str(link).startswith("Consistency check failed")
        ):
            return UnlearnError(
                f"the {'upload' if upload else 'download'} of {_CALLED[kind]} {repo} broke off",
                "run the same command again",
                EXIT_FAILED,
            )
        if isinstance(link, (httpx.TransportError, ConnectionError)):
            way = f"{download_command(repo, kind)}; then HF_HUB_OFFLINE=1 uses the cache"
            return UnlearnError(
                f"cannot reach {constants.ENDPOINT} for {_CALLED[kind]} {repo}",
                f"where there is a network: {'the same command' if upload else way}",
                EXIT_FAILED,
            )
    # Last, because these exceptions wrap most of the others.
    not_cached = (errors.LocalEntryNotFoundError, errors.RevisionResolutionError)
    if constants.HF_HUB_OFFLINE and any(isinstance(link, not_cached) for link in chain(error)):
        return offline(repo, kind)
    return None


def offline(repo: str, kind: Kind) -> UnlearnError:
    """The error for something that is not in the cache while the network is switched off."""
    return UnlearnError(
        f"offline, and {_CALLED[kind]} {repo} is not in the cache", f"while online, run: {download_command(repo, kind)}"
    )


def offline_upload(repo: str) -> UnlearnError:
    """The error for an upload while the network is switched off."""
    return UnlearnError(
        f"offline, and nothing can be uploaded to {repo}",
        "run the same command while online, without --offline or HF_HUB_OFFLINE",
    )


def page(repo: str, kind: Kind) -> str:
    """The web page of a repository."""
    return f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{repo}"


def download_command(repo: str, kind: Kind) -> str:
    """The command that puts a repository into the cache."""
    return f"hf download {repo}" + (" --repo-type dataset" if kind == "dataset" else "")


def _refused(error: errors.HfHubHTTPError, what: str, url: str) -> UnlearnError:
    """The error for an HTTP status other than success."""
    status = error.response.status_code
    if isinstance(error, errors.GatedRepoError):
        return UnlearnError(f"{what} is gated", f"accept its license at {url}, then: hf auth login")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UnlearnError(
            f"{what} not found at {constants.ENDPOINT}", "check the spelling; a private one needs: hf auth login"
        )
    if isinstance(error, errors.DisabledRepoError):
        return UnlearnError(f"{what} has been disabled", f"see {url}")
    if isinstance(error, errors.RevisionNotFoundError):
        wanted = re.search(r"/(?:revision|resolve|tree|paths-info)/([^/?]+)", str(error.response.url))
        named = f" '{wanted[1].replace('%2F', '/')}'" if wanted else ""
        return UnlearnError(f"{what} has no revision{named}", f"branches and tags: {url}/tree/main")
    if isinstance(error, errors.RemoteEntryNotFoundError):
        wanted = re.search(r"/resolve/[^/]+/([^?]+)", str(error.response.url))
        return UnlearnError(f"{what} has no file {wanted[1] if wanted else 'that is needed'}", f"its files: {url}/tree/main")
    if status in (401, 403):
        return UnlearnError(f"no access to {what} ({status})", "the token may be old or lack a permission: hf auth login")
    return UnlearnError(f"the Hub answered {status} for {what}", "try again later", EXIT_FAILED)
