"""Any backend served from another process or another Python: ``python -m dextrack.sim.remote.serve`` there, the backend ``remote`` here."""
