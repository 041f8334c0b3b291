"""What is kept: SQL tables and their migrations, blobs on disk. The only place that knows SQL."""
