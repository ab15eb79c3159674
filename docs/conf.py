"""Sphinx configuration: ``python -m sphinx -W -b html docs docs/_build/html``. Every code cell is executed."""

import re

import rgdm

project, author = "rgdm", "The rgdm developers"
project_copyright = "The rgdm developers, Apache-2.0"
release = rgdm.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_render_markdown_format = "myst"

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
suppress_warnings = ["ref.python"]  # a word in a Literal that two modules have a name for
python_maximum_signature_line_length = 88
add_module_names = False

html_theme = "furo"
html_title = "rgdm"
html_static_path = ["_static"]
html_css_files = ["rgdm.css"]
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b4f7a", "color-brand-content": "#0072b2"},
    "dark_css_variables": {"color-brand-primary": "#8ac4e8", "color-brand-content": "#6db3e0"},
}
exclude_patterns = ["_build", "jupyter_execute"]


def _plain_shapes(app, what, name, obj, options, lines):
    """Docstrings write |k| for a modulus and (B, C, *L) for a shape; reStructuredText has other ideas of both."""
    parts = [re.split(r"(``.*?``)", line) for line in lines]
    lines[:] = ["".join(p if p.startswith("``") else _escape(p) for p in line) for line in parts]


def _escape(text):
    return re.sub(r"\*(?=[A-Z]\b)", r"\*", text.replace("|", r"\|"))


def setup(app):
    app.connect("autodoc-process-docstring", _plain_shapes)
