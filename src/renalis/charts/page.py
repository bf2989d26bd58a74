"""A page that needs nothing else, for charts and the text next to them."""

from __future__ import annotations

import html

__all__ = ["look", "page", "titled"]

_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.45 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.3rem}h2{font-size:1rem;margin:1.6rem 0 .3rem}
svg{width:100%;height:auto;display:block}svg text{fill:currentColor;font-size:12px}
.grid{stroke:currentColor;stroke-opacity:.15}.line{fill:none;stroke-width:2}
ul.key{list-style:none;margin:.2rem 0;padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem}
.key svg{display:inline-block;width:28px;height:10px;vertical-align:middle;margin-right:.35rem}
p.note{opacity:.75}
"""


def look(style: str = "") -> str:
    """The style of a page, with what it has besides."""
    return _STYLE + style


def page(title: str, body: str, style: str = "", script: str = "", policy: str = "") -> str:
    """A page that needs nothing else, around a body of HTML.

    Parameters
    ----------
    title : str
        Its title and first heading.
    body : str
        HTML.
    style, script : str
        CSS after that of all pages, and JavaScript.
    policy : str
        Content security policy that lets `look` of the style and the script through.
    """
    escaped = html.escape(title)
    secured = html.escape(policy)
    meta = f'<meta http-equiv="Content-Security-Policy" content="{secured}">' if policy else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{meta}'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escaped}</title><style>{look(style)}</style></head>"
        f"<body><h1>{escaped}</h1>{body}{f'<script>{script}</script>' if script else ''}"
        "</body></html>\n"
    )


def titled(title: str, body: str) -> str:
    """A part of a page under a heading."""
    return f"<h2>{html.escape(title)}</h2>{body}"
