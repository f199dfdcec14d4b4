"""How a stranger checks a bundle: the parts of `VERIFY.md`. Its blocks are run by a test as they stand.

In:   nothing.  Out: text in Markdown.
"""

PAYLOAD = " manifest-%s.txt"
"""Left out where nothing lies below `data/`: coreutils call an empty list an error."""

SUMS = """## 1. Whole and unaltered since it was made

```sh
sha256sum --check --strict --quiet tagmanifest-sha256.txt%s && echo "every file is as it was bundled"
sha512sum --check --strict --quiet tagmanifest-sha512.txt%s && echo "by SHA-512 too"
```

On macOS `shasum -a 256 --check` and `shasum -a 512 --check` do the same. It is also a BagIt 1.0 bag (RFC 8493), so the Library
of Congress' tool checks it, and finds files that no manifest names (`pip install bagit`):

```sh
bagit.py --validate --quiet .
```

Who gave you the bundle can tell you the SHA-256 of `tagmanifest-sha256.txt` by another way: it stands for all of it.

```sh
sha256sum tagmanifest-sha256.txt
```
"""

PROOFS = """## 2. Part of what was sealed

Each run of the archive has a seal (`evidence/runs/*/seal.txt`): a few lines that stand for its ledger and its manifest of files.
`evidence/proofs.jsonl` shows of every file and ledger line here that it belongs to them, without showing those of others. The
script has 35 lines: read it before you run it.

```sh
python3 evidence/check_proofs.py
```
"""

UNPROVEN = """## 2. Not sealed

None of the runs that archived these calls has a seal, so `evidence/proofs.jsonl` is empty, and `evidence/check_proofs.py` says
so of every file. What the ledger says of each file stands in `evidence/ledger.jsonl`, with the hashes of `manifest-sha256.txt`.
"""

SIGNED = """## 3. Who sealed it

Put the public keys that you trust into a file `allowed_signers` in this folder: a line for each, of a name and a key, as in
`evidence@example.com ssh-ed25519 AAAA...`. They have to come from the owner of the archive by another way than this bundle. A
key must have been valid at the time that the seal states: one that has been replaced since may have an end there.

```sh
( export TZ=UTC0; for seal in evidence/runs/*/seal.txt; do
  [ -e "$seal.sig" ] || { echo "NOT SIGNED: $seal"; continue; }
  at=-Overify-time=$(sed -n 's/^sealed-at: //p' "$seal" | tr -dc 0-9 | cut -c 1-14)
  signer=$(ssh-keygen -Y find-principals "$at" -f allowed_signers -s "$seal.sig" | head -n 1 | cut -d , -f 1)
  [ -n "$signer" ] || { echo "UNKNOWN SIGNER: $seal"; exit 1; }
  ssh-keygen -Y verify -n harvester-seal "$at" -f allowed_signers -I "$signer" -s "$seal.sig" < "$seal" || exit 1
done )
```
"""

STAMPED = """## 4. Since when it exists

Put the root certificate of the time-stamping authority, from the authority itself, into a file `authority.pem` in this folder. A
stamp is over the signature, or over the seal where that was not signed then.

```sh
( for seal in evidence/runs/*/seal.txt; do
  [ -e "$seal.tsr" ] || { echo "NOT STAMPED: $seal"; continue; }
  for of in "$seal.sig" "$seal"; do
    openssl ts -verify -in "$seal.tsr" -data "$of" -CAfile authority.pem -untrusted "$seal.chain.pem" && continue 2
  done 2> /dev/null
  echo "NOT GOOD: $seal.tsr"; exit 1
done )
```

```sh
for stamp in evidence/runs/*/seal.txt.tsr; do openssl ts -reply -in "$stamp" -text 2> /dev/null | grep '^Time stamp'; done
```

Where the authority's certificate has expired since, add `-attime` with the seconds since 1970 of a time at which it was valid.
"""
