"""Arrays in, arrays out: the sky, low pixels, votes, and what noise alone gives."""
