"""A part of an archive as a bundle to hand over: what is selected, how it is laid out, what proves it."""
