"""Names that nothing has yet: given once, whoever else gives them."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harvester.archive.naming import name_new

AT_ONCE = 8

GIVE = """
import sys
from harvester.archive.naming import name_new
name_new(*sys.argv[1:])
"""


def given(path: Path, name: Path) -> bool:
    """Whether a file got its name."""
    try:
        name_new(path, name)
    except FileExistsError:
        return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="the system has no call for it")
def test_of_many_who_give_one_name_at_once_one_succeeds(tmp_path: Path) -> None:
    """The others are refused and keep their file: nobody's is written over in the instant between a look and a rename."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for number in range(200):
            parts = [tmp_path / f"{number}-{which}.part" for which in range(AT_ONCE)]
            for part in parts:
                part.write_text(part.name)
            name = tmp_path / str(number)
            succeeded = list(threads.map(lambda part, name=name: given(part, name), parts))
            assert sum(succeeded) == 1
            assert name.read_text() == parts[succeeded.index(True)].name
            assert [part.exists() for part in parts] == [not each for each in succeeded]


@pytest.mark.parametrize(
    "make", [lambda path: path.write_text("theirs"), Path.mkdir, lambda path: path.symlink_to("nowhere")]
)
@pytest.mark.parametrize("refusal", ["EINVAL", "ENOSYS"])
def test_where_one_step_is_unknown_it_is_looked_first(
    tmp_path: Path, refusal: str, make: Callable[[Path], object]
) -> None:
    """Shares refuse the flag, old kernels the call: a free name is given all the same, a taken one is not."""
    if shutil.which("strace") is None:
        pytest.skip("a refusal is played by strace, which is not installed")
    part, taken, free = tmp_path / "1.part", tmp_path / "taken", tmp_path / "free"
    part.write_text("ours")
    make(taken)
    strace = ["strace", "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", f"inject=renameat2:error={refusal}"]
    done = [
        subprocess.run([*strace, sys.executable, "-c", GIVE, part, name], capture_output=True, check=False)
        for name in (taken, free)
    ]
    assert b"FileExistsError" in done[0].stderr
    assert (done[1].returncode, free.read_text(), part.exists()) == (0, "ours", False)


def test_what_else_goes_wrong_is_an_error_with_the_name(tmp_path: Path) -> None:
    """A folder that is not there, a file that is gone."""
    (tmp_path / "1.part").write_text("ours")
    for path, name in (("1.part", "away/file"), ("2.part", "file")):
        with pytest.raises(FileNotFoundError, match=name):
            name_new(tmp_path / path, tmp_path / name)
