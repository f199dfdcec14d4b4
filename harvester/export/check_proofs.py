"""Check that the files and ledger lines of this bundle belong to sealed runs. Usage: python3 evidence/check_proofs.py

Needs nothing but Python 3.9 or later. Merkle trees are those of RFC 9162 (2.1): a leaf is SHA-256(0x00, line), a node
SHA-256(0x01, left, right). It says nothing about the seals themselves: VERIFY.md tells how to check who signed and stamped them.
"""

import hashlib
import json
import pathlib
import sys


def root_of(line: str, index: int, size: int, path: list[str]) -> str:
    """Recompute the root over a count (`size`) of lines from one of them and its path (RFC 9162, 2.1.3.2)."""
    node, last = hashlib.sha256(b"\0" + line.encode()).digest(), size - 1
    for beside in map(bytes.fromhex, path):
        right = index % 2 or index == last
        node = hashlib.sha256(b"\1" + (beside + node if right else node + beside)).digest()
        while right and index % 2 == 0 and index:
            index, last = index // 2, last // 2
        index, last = index // 2, last // 2
    return node.hex() if last == 0 else "the path is too short"


def main(bag: pathlib.Path) -> int:
    """Check every proof, then hold every file and every ledger line of the bundle against what is proven."""
    files: dict[str, str] = {}
    lines, wrong = set(), []
    for proof in map(json.loads, (bag / "evidence/proofs.jsonl").open(encoding="utf-8")):
        text = (bag / "evidence/runs" / proof["run"] / "seal.txt").read_text()
        seal = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        found = root_of(proof["entry"], proof["index"], proof["size"], proof["path"])
        if (found, str(proof["size"])) != (seal[f"{proof['tree']}-merkle-root"], seal[f"{proof['tree']}-lines"]):
            wrong.append(f"not in the {proof['tree']} that is sealed for run {proof['run']}: {proof['entry']}")
        elif proof["tree"] == "manifest":
            digest, _, key = proof["entry"].partition("  ")
            files[key] = digest
        else:
            lines.add(proof["entry"])
    present = [path for path in sorted((bag / "data").rglob("*")) if path.is_file()]
    for path in present:
        key = path.relative_to(bag / "data").as_posix()
        if key not in files:
            wrong.append(f"no seal stands for the file: {key}")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != files[key]:
            wrong.append(f"not the file that was sealed: {key}")
    told = (bag / "evidence/ledger.jsonl").read_text().splitlines()
    wrong += [f"no seal stands for the ledger line: {line}" for line in told if line not in lines]
    print("\n".join(wrong) or f"all {len(present)} files and {len(told)} ledger lines belong to sealed runs")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(__file__).resolve().parent.parent))
