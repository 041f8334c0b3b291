"""Tells a webhook that a batch has come to its end."""

from __future__ import annotations

import logging
import time

import msgspec
import urllib3

from jupyter_mlops.schema.batches import BatchProgress

log = logging.getLogger(__name__)

TRIES = 3
PAUSE_SECONDS = 2.0
TIMEOUT_SECONDS = 10.0
_GOOD = range(200, 300)


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
