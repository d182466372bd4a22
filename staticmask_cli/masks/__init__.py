"""The product: a mask, its FITS form, its name, its records and its quality checks."""
