import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.archive.merkle import Tree, inclusion_proofs, root_from

ENTRIES = st.lists(st.binary(max_size=40), max_size=70)


def defined_root(entries: list[bytes]) -> bytes:
    """Return the root as RFC 9162, 2.1.1 defines it, word for word."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    return hashlib.sha256(b"\x01" + defined_root(entries[:split]) + defined_root(entries[split:])).digest()


def grown(entries: list[bytes]) -> Tree:
    """Return the tree of some entries."""
    tree = Tree()
    for entry in entries:
        tree.add(entry)
    return tree


@given(ENTRIES)
def test_a_root_is_the_one_that_the_rfc_defines(entries: list[bytes]) -> None:
    """However many entries there are, the streamed root is the recursive one of RFC 9162, 2.1.1."""
    tree = grown(entries)
    assert (tree.root(), tree.size) == (defined_root(entries), len(entries))


def test_roots_are_those_of_the_published_vectors() -> None:
    """The trees over the entries that certificate-transparency implementations test with have the roots published for them."""
    entries = [bytes.fromhex(each) for each in ("", "00", "10", "2021", "3031", "40414243")]
    entries += [bytes.fromhex("5051525354555657"), bytes.fromhex("606162636465666768696a6b6c6d6e6f")]
    assert grown(entries[:1]).root().hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert grown(entries).root().hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(ENTRIES.filter(bool))
def test_every_entry_has_a_path_to_the_root(entries: list[bytes]) -> None:
    """Each entry and its path lead to the root over all of them."""
    root, paths = inclusion_proofs(entries, range(len(entries)))
    assert root == grown(entries).root()
    found = {root_from(entry, index, len(entries), paths[index]) for index, entry in enumerate(entries)}
    assert found == {root}


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=70, unique=True), st.data())
def test_no_other_entry_index_size_or_path_leads_to_the_root(entries: list[bytes], data: st.DataObject) -> None:
    """A proof holds for its own entry at its own place alone."""
    index = data.draw(st.integers(0, len(entries) - 1))
    root, paths = inclusion_proofs(entries, [index])
    path, size = paths[index], len(entries)
    assert root_from(entries[index] + b"x", index, size, path) != root
    assert root_from(entries[index], size, size, path) is None
    assert root_from(entries[index], -1, size, path) is None
    assert root_from(entries[index], index, size, [*path, root]) != root
    if path:
        assert root_from(entries[index], index, size, path[:-1]) != root
        assert root_from(entries[index], index ^ 1, size, path) != root


def test_a_leaf_never_passes_for_a_node() -> None:
    """An entry made of two hashes has another root than the two entries whose hashes they are."""
    leaves = [hashlib.sha256(b"\x00" + entry).digest() for entry in (b"a", b"b")]
    assert grown([b"".join(leaves)]).root() != grown([b"a", b"b"]).root()


def test_a_proof_of_an_entry_that_is_not_there_is_refused() -> None:
    """An index behind the last entry is an error, not an empty proof."""
    with pytest.raises(IndexError, match="there are 2 entries"):
        inclusion_proofs([b"a", b"b"], [2])


def test_no_entries_have_the_root_of_nothing() -> None:
    """A tree without entries, streamed or asked for proofs, is SHA-256 of nothing."""
    assert inclusion_proofs([], []) == (hashlib.sha256().digest(), {})
