"""Check that the files and ledger lines of this bundle belong to sealed runs; who sealed them, VERIFY.md tells. Python 3.9+."""

import json
from hashlib import sha256
from pathlib import Path


def root_of(line: bytes, index: int, size: int, path: list[str]) -> bytes:
    """Return the root of the Merkle tree over so many lines (`size`) from one of them and its path (RFC 9162, 2.1.3)."""
    if size < 2 or not path:
        return sha256(b"\0" + line).digest() if (index, size, path) == (0, 1, []) else b"no proof"
    left, beside = 1 << (size - 1).bit_length() - 1, bytes.fromhex(path[-1])  # left: largest power of two below size
    if index < left:
        return sha256(b"\1" + root_of(line, index, left, path[:-1]) + beside).digest()
    return sha256(b"\1" + beside + root_of(line, index - left, size - left, path[:-1])).digest()


if __name__ == "__main__":
    bag, lines, wrong = Path(__file__).resolve().parents[1], {"ledger": set[str](), "manifest": set[str]()}, list[str]()
    for proof in map(json.loads, (bag / "evidence/proofs.jsonl").open(encoding="utf-8")):
        tree, entry, seal = proof["tree"], proof["entry"], bag / "evidence/runs" / proof["run"] / "seal.txt"
        root = root_of(entry.encode(), proof["index"], proof["size"], proof["path"]).hex()
        if {f"{tree}-merkle-root: {root}", f"{tree}-lines: {proof['size']}"} <= set(seal.read_text().splitlines()):
            lines[tree].add(entry)
        else:
            wrong.append(f"not in the {tree} that is sealed for run {proof['run']}: {entry}")
    sealed = {entry[66:]: entry[:64] for entry in lines["manifest"]}  # each a hash, two blanks, and the file's key
    found = sorted(path.relative_to(bag / "data").as_posix() for path in (bag / "data").rglob("*") if path.is_file())
    for key in found:
        if sealed.get(key) != sha256((bag / "data" / key).read_bytes()).hexdigest():
            wrong.append(f"{'not the file that was sealed' if key in sealed else 'no seal stands for the file'}: {key}")
    told = (bag / "evidence/ledger.jsonl").read_text().splitlines()
    wrong += [f"no seal stands for the ledger line: {line}" for line in told if line not in lines["ledger"]]
    print("\n".join(wrong) or f"all {len(found)} files and {len(told)} ledger lines belong to sealed runs")
    raise SystemExit(1 if wrong else 0)
