"""Tells a webhook that a batch has come to its end, also when the server ended before it could."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec
import urllib3

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.batches import BatchProgress
from jupyter_mlops.server.managers.batch import Batch
from jupyter_mlops.server.stores.batch_files import BatchFiles

log = logging.getLogger(__name__)

TRIES = 3
PAUSE_SECONDS = 2.0
TIMEOUT_SECONDS = 10.0
_GOOD = range(200, 300)


class Webhooks:
    """Tells the webhooks of batches, in threads.

    Parameters
    ----------
    files:
        Where it is noted which end was told of.
    hosts:
        Those that may be called now, whatever was allowed when a batch was submitted.
    """

    def __init__(self, files: BatchFiles, hosts: frozenset[str]) -> None:
        self._files = files
        self._hosts = hosts

    def tell(self, batch: Batch) -> None:
        """Tell of the end of a batch that has a webhook."""
        if batch.record.webhook:
            asyncio.get_running_loop().run_in_executor(None, self._tell, batch.record.webhook, batch.progress())

    def catch_up(self, batches: Iterable[Batch]) -> None:
        """Tell of ends that a server before this one did not come to tell."""
        for batch in batches:
            if batch.done and batch.record.webhook and self._files.told(batch.id) != batch.standing.ended:
                self.tell(batch)

    def _tell(self, url: str, progress: BatchProgress) -> None:
        try:
            check_webhook(url, self._hosts)
        except InvalidRequest as error:
            log.warning("batch %s: its webhook is not told: %s", progress.id, error.message)
        else:
            tell(url, progress)
        self._files.tell(progress.id, progress.ended)


def check_webhook(url: str, hosts: frozenset[str]) -> str:
    """Refuse a webhook that may not be called.

    Parameters
    ----------
    url:
        What was asked for; empty for none.
    hosts:
        Those that are allowed, each with its port where that is not the scheme's.

    Raises
    ------
    InvalidRequest
        When it is no such URL.
    """
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        name = parts.hostname or ""
        host = name if parts.port is None else f"{name}:{parts.port}"
    except ValueError:
        raise InvalidRequest(f"{url[:200]!r} is no URL", fields="webhook") from None
    if parts.scheme not in {"http", "https"} or not name or parts.username is not None:
        raise InvalidRequest(f"a webhook is a URL of http or https without a user, not {url[:200]!r}", fields="webhook")
    if host not in hosts:
        known = ", ".join(sorted(hosts)) or "none"
        raise InvalidRequest(
            f"this server calls no webhook of {host[:200]!r}; allowed hosts: {known} (setting: webhook_hosts)",
            fields="webhook",
        )
    return url


def tell(url: str, progress: BatchProgress) -> bool:
    """Post how a batch ended, at most three times; say whether the host took it.

    Waits, so it is for a thread. Redirects are not followed: only the host that was allowed is spoken to.

    Parameters
    ----------
    url:
        On an allowed host.
    progress:
        How it ended.
    """
    body = msgspec.json.encode(progress)
    headers = {"Content-Type": "application/json"}
    timeout = urllib3.Timeout(total=TIMEOUT_SECONDS)
    said = ""
    for number in range(TRIES):
        time.sleep(PAUSE_SECONDS * number)
        try:
            with urllib3.PoolManager(retries=False) as http:
                answer = http.request(
                    "POST", url, body=body, headers=headers, timeout=timeout, redirect=False, preload_content=False
                )
                answer.close()
            if answer.status in _GOOD:
                return True
            said = f"status {answer.status}"
        except urllib3.exceptions.HTTPError as error:
            said = str(error)
    log.warning("batch %s: the webhook %s was not told of its end: %s", progress.id, url, said)
    return False
