"""Configuration of the documentation site: `make docs` builds it into docs/_build/html."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from generate import write_reference

import ft_toolkit

write_reference(Path(__file__).parent / "reference")

project = "ft_toolkit"
author = "the ft_toolkit authors"
release = version = ft_toolkit.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "launch"]
html_theme = "furo"
html_title = f"ft_toolkit {release}"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
# Links to folders of the repository, which are no pages of the site.
suppress_warnings = ["myst.xref_missing"]
