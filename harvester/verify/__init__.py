"""Whether an archive is what it says: every file, every ledger, every manifest, without a platform and without a local state."""
