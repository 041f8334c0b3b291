"""HTTP only: decode, one manager call, set the status, finish. `routes.py` lists every URL."""
