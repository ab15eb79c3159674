"""The package as a whole: quick to import and to ask for help, and one version everywhere."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rgdm
from rgdm.cli import main

ROOT = Path(__file__).parents[1]


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.integration
def test_help_and_parsing_import_nothing_heavy():
    heavy = {"torch", "xarray", "zarr", "scipy", "accelerate", "matplotlib", "huggingface_hub", "numpy"}
    assert not modules_after("import rgdm.cli") & heavy


@pytest.mark.integration
def test_a_model_costs_no_more_than_what_it_needs():
    loaded = modules_after("import rgdm; rgdm.Cascade")
    assert "torch" in loaded
    assert not loaded & {"accelerate", "matplotlib", "huggingface_hub", "tyro", "diffusers"}


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["demo", "--help"]])
def test_help_is_there(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    assert "usage: rgdm" in capsys.readouterr().out


def test_the_version_is_the_same_everywhere(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"rgdm {rgdm.__version__}\n"
    assert f'version = "{rgdm.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert importlib.metadata.version("rgdm") == rgdm.__version__


def test_the_package_offers_what_it_names():
    from rgdm.model.cascade.cascade import Cascade

    assert rgdm.Cascade is Cascade
    assert callable(rgdm.debias)
    assert set(rgdm.__all__) == {"Cascade", "__version__", "debias"}
    with pytest.raises(AttributeError, match="nothing"):
        _ = rgdm.nothing


def test_no_module_names_a_path_of_its_makers():
    lines = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in (ROOT / "src").rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"/(tmp|work|home|root)/\w", line)
    ]
    assert not lines
