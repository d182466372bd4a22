"""Arrays in, arrays out: the sky, low pixels, votes, and the numbers expected from noise."""
