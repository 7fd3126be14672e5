"""Pages: one HTML file with everything in it, which asks nothing of any other file or machine, readable in light and dark."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image as Picture

from dextrack.evaluation.film_strip import FilmStrip
from dextrack.evaluation.rendering import Image
from dextrack.files import replacing

GOOD, BAD, NEUTRAL = "good", "bad", "neutral"
"""How a banner or card looks."""

_STYLE = """
:root { color-scheme: light dark; --paper:#fbfbfa; --card:#ffffff; --ink:#1f2328; --soft:#59616b; --line:#c9cdd2; --shade:#e9edf2;
  --reference:#0072b2; --trial:#c24e00; --recording:#8a5a44; --good:#00664c; --bad:#b23c00; --good-paper:#e3f4ee; --bad-paper:#fdeee2; }
@media (prefers-color-scheme: dark) { :root { --paper:#15181c; --card:#1d2126; --ink:#e4e7eb; --soft:#a4adb8; --line:#4a515a; --shade:#262c34;
  --reference:#56b4e9; --trial:#f08a3c; --recording:#c99a82; --good:#5fd3b0; --bad:#ffa266; --good-paper:#12312a; --bad-paper:#3a2415; } }
* { box-sizing:border-box; }
body { margin:0; background:var(--paper); color:var(--ink); font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif; }
main { max-width:1180px; margin:0 auto; padding:2rem 1.25rem 4rem; }
h1 { font-size:1.7rem; line-height:1.2; margin:0 0 .2rem; } h2 { font-size:1.2rem; margin:2.4rem 0 .6rem; }
p { margin:.4rem 0; } .soft { color:var(--soft); }
.banner { margin:1.2rem 0; padding:1.1rem 1.3rem; border-radius:10px; border-left:8px solid var(--line); background:var(--card); }
.banner b { font-size:1.9rem; line-height:1.2; display:block; }
.banner.good { border-color:var(--good); background:var(--good-paper); } .banner.good b { color:var(--good); }
.banner.bad { border-color:var(--bad); background:var(--bad-paper); } .banner.bad b { color:var(--bad); }
.cards { display:grid; grid-template-columns:repeat(auto-fit,minmax(165px,1fr)); gap:.7rem; margin:1rem 0; }
.card { background:var(--card); border:1px solid var(--line); border-radius:8px; padding:.7rem .85rem; }
.card .value { font-size:1.3rem; font-weight:600; font-variant-numeric:tabular-nums; } .card .name { color:var(--soft); font-size:.87rem; }
.card .note { font-size:.87rem; } .card.good .value { color:var(--good); } .card.bad .value { color:var(--bad); }
figure { margin:1rem 0; padding:.9rem; background:var(--card); border:1px solid var(--line); border-radius:8px; overflow-x:auto; }
figcaption { color:var(--soft); font-size:.92rem; margin-top:.6rem; max-width:85ch; }
figure.wide { width:min(96vw,1900px); margin-left:50%; transform:translateX(-50%); }
figure > svg { width:100%; height:auto; display:block; max-width:960px; } svg text { fill:var(--ink); }
.strip { border-spacing:4px; border-collapse:separate; min-width:860px; width:100%; table-layout:fixed; }
.strip th { font-weight:600; font-size:.87rem; padding:.1rem; } .strip tr > th:first-child { width:1.9rem; }
.strip tbody th { writing-mode:vertical-rl; transform:rotate(180deg); color:#fff; border-radius:4px; text-align:center; }
.strip td { padding:0; position:relative; } .strip img { width:100%; height:auto; display:block; border-radius:4px; }
.strip span { position:absolute; left:.3rem; bottom:.3rem; padding:0 .35rem; border-radius:3px;
  background:rgba(255,255,255,.82); color:#1f2328; font-size:.72rem; }
table.facts { border-collapse:collapse; width:100%; font-size:.92rem; } .facts th { text-align:left; font-weight:600; }
.facts th, .facts td { padding:.32rem .7rem .32rem 0; border-bottom:1px solid var(--line); vertical-align:top; }
.facts td { overflow-wrap:anywhere; font-variant-numeric:tabular-nums; } .facts td:first-child { color:var(--soft); }
.facts td:first-child, .facts td:nth-child(2):not(:last-child) { overflow-wrap:normal; } .facts th { white-space:nowrap; }
code { font:.88em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; }
@media print { .strip { min-width:0; } figure { break-inside:avoid; } }
"""


@dataclasses.dataclass(frozen=True)
class Card:
    """A key figure."""

    name: str
    value: str
    note: str = ""
    mood: str = NEUTRAL


def page(title: str, lead: str, blocks: Sequence[str]) -> str:
    """A whole page: ``title``, one line of ``lead``, and ``blocks`` made by the functions below."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title><style>{_STYLE}</style>'
    body = f'<h1>{escape(title)}</h1><p class="soft">{escape(lead)}</p>' + "\n".join(blocks)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>{body}</main></body></html>\n'


def write(path: Path, text: str) -> None:
    """Write a page, whole or not at all."""
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def heading(text: str) -> str:
    """A section's heading."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def banner(text: str, detail: str, mood: str) -> str:
    """The one thing that a reader must see first."""
    return f'<div class="banner {mood}" role="status"><b>{escape(text)}</b><p>{escape(detail)}</p></div>'


def cards(items: Sequence[Card]) -> str:
    """Key figures side by side."""
    one = '<div class="card {}"><div class="name">{}</div><div class="value">{}</div><div class="note soft">{}</div></div>'
    return '<div class="cards">' + "".join(one.format(c.mood, escape(c.name), escape(c.value), escape(c.note)) for c in items) + "</div>"


def figure(svg: str, caption: str, alt: str) -> str:
    """An SVG of ``figures`` with its caption; ``alt`` says what it shows to those who cannot see it."""
    labelled = svg.replace("<svg", f'<svg role="img" aria-label="{escape(alt, quote=True)}"', 1)
    return f"<figure>{labelled}<figcaption>{escape(caption)}</figcaption></figure>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain texts; the first column names what the others hold."""
    head = "<thead><tr>" + "".join(f'<th scope="col">{escape(h)}</th>' for h in header) + "</tr></thead>" if header else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<figure><table class="facts">{head}<tbody>{body}</tbody></table></figure>'


def film_strip(strip: FilmStrip, caption: str) -> str:
    """The pictures of ``strip`` as a table of images."""
    head = "".join(f'<th scope="col">{escape(" ".join((key.label, f"{key.time:.2f} s")))}</th>' for key in strip.keys)
    rows = []
    for label, pictures, notes in zip(strip.rows, strip.pictures, strip.notes, strict=True):
        colour = {"recording": "#8a5a44", "reference": "#0072b2"}.get(label, "#c24e00")
        cells = []
        for key, picture, note in zip(strip.keys, pictures, notes, strict=True):
            alt = escape(f"{label} at {key.time:.2f} s ({key.label}): object {note}", quote=True)
            cells.append(f'<td><img alt="{alt}" src="{_data_uri(picture)}"><span aria-hidden="true">{escape(note)}</span></td>')
        rows.append(f'<tr><th scope="row" style="background:{colour}">{escape(label)}</th>{"".join(cells)}</tr>')
    table = f'<table class="strip"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<figure class="wide">{table}<figcaption>{escape(caption)}</figcaption></figure>'


def _data_uri(picture: Image) -> str:
    buffer = io.BytesIO()
    Picture.fromarray(picture).save(buffer, format="JPEG", quality=88, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
