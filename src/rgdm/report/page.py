"""The page itself: semantic HTML, one style sheet, pictures inside."""

import base64
import html
from collections.abc import Sequence

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --quiet: #5c6672; --line: #dfe3e8; --paper: #fbfbfa; --card: #fff;
  --accent: #0067a3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --quiet: #a3acb8; --line: #333b47; --paper: #14181f;
  --card: #1c222b; --accent: #6cb8ea; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", sans-serif; }
main, header { max-width: 1080px; margin: 0 auto; padding: 0 1.5rem; }
header { padding-top: 3rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 3rem 0 .8rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
p { max-width: 70ch; } .quiet, figcaption, caption { color: var(--quiet); }
figure { margin: 1.4rem 0 2rem; } figure img { display: block; width: 100%; height: auto; background: #fff;
  border: 1px solid var(--line); border-radius: 8px; padding: 10px; }
figcaption { font-size: .9rem; margin-top: .6rem; max-width: 78ch; }
figcaption b { color: var(--ink); }
.pair { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); gap: 0 1.8rem;
  align-items: start; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11.5rem, 1fr)); gap: .8rem; margin: 1.6rem 0 0;
  padding: 0; list-style: none; }
.tiles li { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; }
.tiles b { display: block; font-size: 1.4rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tiles span { display: block; font-size: .85rem; } .tiles .quiet { font-size: .8rem; }
.tiles .error { display: inline; white-space: nowrap; font-weight: 400; font-size: .9rem; color: var(--quiet); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; line-height: 1.4; }
caption { text-align: left; padding-bottom: .6rem; }
th, td { text-align: left; vertical-align: top; padding: .5rem .9rem .5rem 0; border-bottom: 1px solid var(--line); }
thead th { color: var(--quiet); font-weight: 600; } tbody th { font-weight: 600; min-width: 11rem; }
td.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
td.number small { color: var(--quiet); display: inline-block; min-width: 6.2rem; font-size: .8rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; font-size: .9rem; }
dt { color: var(--quiet); } dd { margin: 0; }
details pre { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem; font-size: .8rem; line-height: 1.4; }
summary { cursor: pointer; color: var(--accent); }
footer { color: var(--quiet); font-size: .85rem; padding: 2.5rem 0 3rem; }
@media print { body { background: #fff; color: #000; } figure { break-inside: avoid; } }
"""


def render(title: str, sections: Sequence[str]) -> str:
    """The whole page."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{text(title)}</h1></header>\n<main>\n{chr(10).join(sections)}\n"
        "<footer>Written by <code>rgdm report</code>. This file needs nothing else.</footer>\n"
        "</main>\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A section with its heading."""
    return f"<section>\n<h2>{text(title)}</h2>\n{chr(10).join(parts)}\n</section>"


def figure(png: bytes, name: str, caption: str) -> str:
    """A picture with its caption; the name is bold and the alternative text."""
    data = base64.b64encode(png).decode()
    return (
        f'<figure><img alt="{text(name)}" src="data:image/png;base64,{data}">'
        f"<figcaption><b>{text(name)}.</b> {text(caption)}</figcaption></figure>"
    )


def text(value: object) -> str:
    """Anything as text that is safe inside HTML."""
    return html.escape(str(value))
