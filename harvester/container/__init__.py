"""What kind of recording some bytes are, and whether they are all of it: pure, and known to nobody but those who ask."""
