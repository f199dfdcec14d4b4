"""Who vouches for a seal: signatures by ssh-keygen, stamps by an RFC 3161 authority."""
