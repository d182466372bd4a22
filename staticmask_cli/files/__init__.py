"""Atomic writes, the folder lock and signals; knows nothing of FITS."""
