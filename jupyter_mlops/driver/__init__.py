"""The batch driver: a child process of the server that runs slices of batches on a Dask cluster, and its workers' part.

It is the only room that imports `distributed`, because a Dask client unpickles what workers send.
"""
