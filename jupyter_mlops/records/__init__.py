"""The records of a batch in every format that is taken, read a chunk at a time and checked on the way."""
