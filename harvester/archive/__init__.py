"""Everything that lies on the disk: names, files, ledger, checkpoint, and the proof of them."""
