"""The server's side of the batch driver, which runs batches on a Dask cluster."""
