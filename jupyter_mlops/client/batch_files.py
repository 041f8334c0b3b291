"""The files that the calls of a batch wrote."""

from __future__ import annotations

from pathlib import Path

import msgspec

from jupyter_mlops.client.batch_address import BatchAddress
from jupyter_mlops.client.files import FILE_SECONDS, download
from jupyter_mlops.client.transport import segment
from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.batches import BatchArtifact

PAGE = 1000


class BatchFiles(BatchAddress):
    """Lists and copies the files of a batch; the part of `Batch` that is about them."""

    def list_artifacts(self, index: int) -> list[str]:
        """Names of the files that one record's call wrote.

        Parameters
        ----------
        index:
            Which record, from 0.
        """
        return msgspec.json.decode(self._transport.request("GET", self._path(f"/{index}/files")), type=list[str])

    def artifacts(self, offset: int = 0, limit: int | None = None) -> list[BatchArtifact]:
        """The files that calls wrote, by record and name, each with the index of its record, its name and its size.

        Parameters
        ----------
        offset, limit:
            How many files to leave out, and how many to give; without a limit all.

        Raises
        ------
        InvalidRequest
            When it was not started.
        """
        found: list[BatchArtifact] = []
        while True:
            wanted = PAGE if limit is None else min(PAGE, limit - len(found))
            query = f"?offset={offset + len(found)}&limit={wanted}"
            answer = self._transport.request("GET", self._path(f"/artifacts{query}"))
            page = msgspec.json.decode(answer, type=list[BatchArtifact])
            found += page
            if len(page) < PAGE or len(found) == limit:
                return found

    def artifact(self, index: int, file_name: str) -> bytes:
        """A file that one record's call wrote.

        Parameters
        ----------
        index:
            Which record, from 0.
        file_name:
            One of `list_artifacts`.
        """
        path = self._path(f"/{index}/files/{segment(file_name)}")
        return self._transport.request("GET", path, usual=FILE_SECONDS)

    def download(self, index: int, file_name: str | None = None, destination: str | Path | None = None) -> list[str]:
        """Copy files that one record's call wrote here, and return their paths.

        Parameters
        ----------
        index:
            Which record, from 0.
        file_name:
            One of `list_artifacts`; all of them when there is none.
        destination:
            The directory to write them into, the working directory when there is none.

        Raises
        ------
        InvalidRequest
            When the directory does not exist, or the batch was not started.
        """
        folder = Path.cwd() if destination is None else Path(destination)
        path = self._path(f"/{index}/files")
        if not folder.is_dir():
            raise InvalidRequest(f"there is no directory {str(folder)!r}; make it first", fields="destination")
        names = self.list_artifacts(index) if file_name is None else [file_name]
        return [str(download(self._transport, f"{path}/{segment(name)}", folder, name)) for name in names]

    def archive(self, path: str | Path | None = None) -> Path:
        """Copy all files that calls wrote here as one zip, each under the index of its record.

        Parameters
        ----------
        path:
            The file to write, or the directory to write it into; the working directory when there is none.

        Returns
        -------
        Path
            The file that was written; it is whole or not there.
        """
        return download(self._transport, self._path("/archive"), path, f"batch-{self._execution_id}.zip")
