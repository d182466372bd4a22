"""How the report's page looks: light and dark, from a telephone's width to a desk's."""

from staticmask_cli.reports.pictures import BAD_COLOUR, UNSEEN_COLOUR, WINDOW_COLOUR

# The papers are those on which `figures` draws.
STYLE = f"""
:root {{
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1d2430; --faint: #5d6675; --rule: #d9dee6; --band: #f4f6f9;
  --link: #0b57a4; --doubt: #9a4a00; --trust: #1f6f43;
}}
@media (prefers-color-scheme: dark) {{
  :root {{
    --paper: #161a21; --ink: #e4e8ee; --faint: #a4adba; --rule: #343b47; --band: #1e242d;
    --link: #8cc4ff; --doubt: #ffb36b; --trust: #7fd0a2;
  }}
}}
*, ::before, ::after {{ box-sizing: border-box; }}
html {{ -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }}
body {{
  margin: 0 auto; padding: 2rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 80rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif;
  overflow-wrap: anywhere;
}}
h1, h2, h3 {{ line-height: 1.25; text-wrap: balance; }}
h1 {{ font-size: clamp(1.4rem, 1rem + 2vw, 1.75rem); margin: 0 0 .5rem; }}
h2 {{
  font-size: 1.3rem; margin: 3rem 0 .75rem; padding-top: 1rem; border-top: 1px solid var(--rule);
}}
h3 {{ font-size: 1rem; margin: 2rem 0 .5rem; }}
p, ul {{ margin: .5rem 0; max-width: 48rem; }}
a {{ color: var(--link); }}
.faint, figcaption {{ color: var(--faint); }}
.checks {{
  margin: 1.5rem 0 0; padding: .75rem 1.25rem;
  background: var(--band); border-left: .25rem solid var(--trust);
}}
.checks.failed {{ border-color: var(--doubt); }}
.checks h2 {{ margin: 0; padding: 0; border: 0; font-size: 1.1rem; color: var(--trust); }}
.checks.failed h2 {{ color: var(--doubt); }}
.checks p, .checks ul {{ max-width: none; }}
.checks ul {{ padding-left: 1.25rem; }}
figure {{ margin: 0; min-width: 0; }}
figcaption {{ margin-top: .5rem; max-width: 48rem; font-size: .9rem; line-height: 1.5; }}
img {{ display: block; max-width: 100%; height: auto; }}
.overview img {{ width: auto; max-height: 64rem; }}
.pair {{
  display: grid; gap: 1.5rem 2.5rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr));
}}
.pair img {{ width: 100%; max-width: 35rem; }}
.missing {{
  padding: .75rem 1.25rem; background: var(--band); border-left: .25rem solid var(--rule);
}}
figcaption span {{ display: block; }}
.key {{
  display: inline-block; width: .7em; height: .7em;
  border: 1px solid var(--faint);
}}
.key.bad {{ background: {BAD_COLOUR}; }}
.key.window {{ background: {WINDOW_COLOUR}; }}
.key.unseen {{ background: {UNSEEN_COLOUR}; }}
.wide {{ overflow-x: auto; max-width: 100%; }}
.wide:focus-visible {{ outline: 2px solid var(--link); outline-offset: 2px; }}
table {{
  border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums lining-nums;
}}
th, td {{
  padding: .35rem 1rem .35rem 0; border-bottom: 1px solid var(--rule);
  text-align: left; vertical-align: baseline;
}}
thead th {{ color: var(--faint); font-weight: 600; white-space: nowrap; }}
tbody th {{ font-weight: 400; }}
.number {{ text-align: right; white-space: nowrap; overflow-wrap: normal; }}
.word {{ white-space: nowrap; overflow-wrap: normal; }}
.name {{ min-width: 11rem; max-width: 28rem; }}
.text {{ min-width: 9rem; max-width: 24rem; }}
tr.pictured th {{ font-weight: 600; }}
@media print {{
  figure, tr {{ break-inside: avoid; }}
}}
"""
