"""Everything that talks to the outside: the API, the recordings, and what limits both."""
