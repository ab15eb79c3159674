"""The words for figures: on the page about judging as in the code, readable wherever Markdown is."""

import re
from pathlib import Path

import pytest

from rgdm.evaluate.glossary import GLOSSARY, explain, glossary_table

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_on_judging_has_the_table_of_all_figures():
    """Where it differs, paste what ``glossary_table()`` gives."""
    assert glossary_table() in (DOCS / "judging.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(path.name for path in DOCS.glob("*.md")))
def test_words_are_explained_in_plain_markdown(name):
    page = (DOCS / name).read_text(encoding="utf-8")
    assert "{term}" not in page and "{glossary}" not in page
    for head, rule in re.findall(r"^(\|.*)\n(\|[-|: ]+)$", page, re.MULTILINE):
        assert len(re.findall(r"(?<!\\)\|", head)) == rule.count("|")


def test_the_glossary_is_no_code():
    page = (DOCS / "glossary.md").read_text(encoding="utf-8")
    assert "```" not in page and ":::" not in page
    rows = [line for line in page.splitlines() if line.startswith("| **")]
    assert len(rows) > 60 and all(len(re.findall(r"(?<!\\)\|", row)) == 3 for row in rows)


def test_names_of_baselines_are_filled_in():
    term = explain("crps_over_block_constant")
    assert term is not None and "block constant" in term.title
    assert explain("nothing") is None and all(explain(name.replace("*", "x")) for name in GLOSSARY)
