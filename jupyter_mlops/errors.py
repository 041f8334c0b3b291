"""Everything that can go wrong, as one tree of exceptions, free of HTTP.

The server's handlers turn each class into one status code, and the client turns the answer back into
the same class, so a caller catches `Conflict` wherever it happened.

::

    MLOpsError                     never raised itself
    |- InvalidRequest              the request is malformed, or breaks a stated rule
    |  `- InvalidInput             a value does not fit the service's declared inputs
    |- NotAuthenticated            no credential, or one that is wrong or expired
    |- Forbidden                   the caller's role does not allow it
    |- NotFound                    there is no such thing, or it is not the caller's to see
    |- Gone                        it was here, and has ended
    |- Conflict                    the name is taken, or the state does not allow it
    |- KeyReused                   an idempotency key that came before, with something else
    |- TooLarge                    a body over its route's limit
    |- UnsupportedMediaType        a body in a form that the route does not read
    |- PublishRefused              well-formed, but it did not load or did not answer its sample
    |- TooManyRequests             slow down; `retry_after` says for how long
    |- KernelDied                  the kernel ended while it ran this call
    |- Unavailable                 no room, draining, or not able to start; `retry_after` says when
    |- DiskFull                    the server's disk has no room for it
    |- DeadlineExceeded            the call ran past its deadline
    |- ServerUnreachable           nothing answers at the address
    |- CaptureError                an object of the notebook cannot go along
    |- CodeRaised                  code of a call or a session raised, and its caller asked to be told so
    `- InternalError               a defect of ours; the log has the rest under the correlation id
"""

from __future__ import annotations


class MLOpsError(Exception):
    """Root of the tree; catch it to catch everything this package raises.

    Parameters
    ----------
    message:
        One readable sentence or more: what was expected, what came, where, and what to do.
    fields:
        Where in the request the fault lies, as a JSON path such as `$.hp`; empty when it is nowhere.
    retry_after:
        Seconds after which the same request may succeed, when that is known.
    """

    def __init__(self, message: str = "", *, fields: str = "", retry_after: float | None = None) -> None:
        self.message = message or (self.__doc__ or "").splitlines()[0]
        self.fields = fields
        self.retry_after = retry_after
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


class InvalidRequest(MLOpsError, ValueError):
    """The request is malformed, or breaks a stated rule."""

    # A ValueError too, because that is what azureml.deploy raised and what its users catch.


class InvalidInput(InvalidRequest):
    """A value does not fit the service's declared inputs."""


class NotAuthenticated(MLOpsError):
    """Unauthorized: send a valid bearer token, from POST /login."""


class Forbidden(MLOpsError):
    """Your role does not allow this."""


class NotFound(MLOpsError):
    """There is no such thing."""


class Gone(MLOpsError):
    """It was here, and has ended."""


class Conflict(MLOpsError):
    """The name is taken, or the state does not allow this."""


class KeyReused(MLOpsError):
    """The Idempotency-Key came before, with another request."""


class TooLarge(MLOpsError):
    """The body is larger than this route takes."""


class UnsupportedMediaType(MLOpsError):
    """The body is in a form that this route does not read."""


class PublishRefused(MLOpsError):
    """The service did not load, or did not answer its sample."""


class TooManyRequests(MLOpsError):
    """Too many attempts; wait and try again."""


class KernelDied(MLOpsError):
    """The kernel ended while it ran this call."""


class Unavailable(MLOpsError):
    """The service cannot take the call now; try again."""


class DiskFull(MLOpsError):
    """The server's disk is full; nothing of this was kept. Free some space there, and try again."""


class DeadlineExceeded(MLOpsError):
    """The call ran past its deadline."""


class ServerUnreachable(MLOpsError):
    """Nothing answers at the server's address."""


class CaptureError(MLOpsError):
    """An object of the notebook cannot go along with the service."""


class CodeRaised(MLOpsError):
    """The code raised; this is its traceback."""


class InternalError(MLOpsError):
    """The server met a defect of its own; its log has the rest under the correlation id."""


def _tree(root: type[MLOpsError]) -> dict[str, type[MLOpsError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_NAME = _tree(MLOpsError)
"""Class by name, for turning a wire error's `exceptionType` back into an exception."""
