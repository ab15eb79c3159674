"""What docs/theory.md says: the tests and objects it names exist."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "docs" / "theory.md").exists():
    pytest.skip("an archive of the source has no pages", allow_module_level=True)
PAGE = (ROOT / "docs" / "theory.md").read_text()
TESTS = sorted(set(re.findall(r"(tests/[\w/]+\.py)::(\w+)", PAGE)))
OBJECTS = sorted(set(re.findall(r"\{py:\w+\}`(?:~|[^`<]*<)([\w.]+)", PAGE)))


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_each_test_that_the_page_names_is_there(file, name):
    functions = [node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)]
    assert name.startswith("test_") and name in functions


@pytest.mark.parametrize("path", OBJECTS)
def test_each_object_that_the_page_names_is_there_and_in_the_reference(path):
    parts = path.split(".")
    depth = next(i for i, part in enumerate(parts) if part[0].isupper() or i == len(parts) - 1)
    target = importlib.import_module(".".join(parts[:depth]))
    for name in parts[depth:]:
        target = getattr(target, name)
    assert target.__doc__
    reference = "".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    assert f"automodule:: {'.'.join(parts[:depth])}\n" in reference


def test_the_page_names_tests_and_objects():
    assert len(TESTS) > 30 and len(OBJECTS) > 30
