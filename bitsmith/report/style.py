"""The page's style: light and dark, screen and paper; colours after Okabe and Ito."""

CSS = """\
:root{--bg:#fff;--fg:#1b1f23;--dim:#5c6670;--faint:#e3e7eb;--band:#f4f6f8;--card:#f8f9fb;
--link:#0067a3;--good:#00704f;--bad:#b3410a;--note:#80570a;
--c0:#0072b2;--c1:#e69f00;--c2:#009e73;--c3:#56b4e9;--c4:#cc79a7;--c5:#d55e00;--c6:#f0e442;--c7:#8b949e}
@media (prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e4e8ec;--dim:#9ba5af;--faint:#333a41;
--band:#1b1f24;--card:#1d2126;--link:#6cbcf0;--good:#3fd0a5;--bad:#ff9159;--note:#e8b64c;
--c0:#2a93d5;--c7:#7a838c}}
*{box-sizing:border-box}
html{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,"Segoe UI",
"Helvetica Neue",Arial,sans-serif}
body{max-width:1128px;margin:0 auto;padding:28px 24px 64px}
h1{font-size:30px;line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:20px;margin:0 0 8px;padding-top:20px;border-top:1px solid var(--faint)}
h2 small{font-size:12.5px;font-weight:400;color:var(--dim);margin-left:8px}
h3{font-size:15px;margin:20px 0 6px}
p{margin:6px 0 12px;max-width:900px}
a{color:var(--link);text-decoration:none}
a:hover{text-decoration:underline}
section{margin-top:32px}
code{font:13px ui-monospace,"DejaVu Sans Mono",Menlo,monospace;overflow-wrap:anywhere}
.sub{color:var(--dim);margin:4px 0 14px;overflow-wrap:anywhere}
.dim{color:var(--dim);fill:var(--dim)}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin-top:18px;font-size:14px}
.badges{display:flex;flex-wrap:wrap;gap:10px}
.badge{padding:4px 12px;border-radius:6px;border:1.5px solid;font-weight:600;font-size:14px}
.badge.good{color:var(--good)}.badge.bad{color:var(--bad)}.badge.note{color:var(--note)}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;margin-top:18px}
.tile{background:var(--card);border:1px solid var(--faint);border-radius:8px;padding:10px 14px}
.tile b{display:block;font-size:21px;line-height:1.3;font-variant-numeric:tabular-nums}
.tile span{display:block;font-size:12.5px;color:var(--dim)}
.alarm{border:2px solid var(--bad);border-radius:8px;padding:10px 14px;margin:10px 0 14px;
overflow-wrap:anywhere}
.alarm strong{color:var(--bad)}
.skip{border-left:4px solid var(--c7);padding:6px 12px;color:var(--dim)}
.scroll{overflow-x:auto;margin:8px 0 14px}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:3px 14px 3px 0;text-align:left;vertical-align:top;
border-bottom:1px solid var(--faint)}
th{font-weight:600;color:var(--dim);vertical-align:bottom}
td:last-child,th:last-child{padding-right:4px}
.number{text-align:right;white-space:nowrap}
.wide table{width:100%}
.good{color:var(--good);fill:var(--good)}.bad{color:var(--bad);fill:var(--bad);font-weight:600}
.kind{font-weight:600;white-space:nowrap}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;font-size:13px;margin:8px 0 14px}
.swatch{display:inline-block;width:11px;height:11px;border-radius:2px;vertical-align:-1px}
svg{display:block;width:100%;height:auto;overflow:visible;margin:6px 0}
svg text{font-size:12px;fill:var(--fg)}
svg .small{font-size:11px}svg .strong{font-weight:600}
svg text.dim{fill:var(--dim)}svg text.bad{fill:var(--bad)}
.c0{fill:var(--c0);background:var(--c0)}.c1{fill:var(--c1);background:var(--c1)}
.c2{fill:var(--c2);background:var(--c2)}.c3{fill:var(--c3);background:var(--c3)}
.c4{fill:var(--c4);background:var(--c4)}.c5{fill:var(--c5);background:var(--c5)}
.c6{fill:var(--c6);background:var(--c6)}.c7{fill:var(--c7);background:var(--c7)}
.part{stroke:var(--bg);stroke-width:.8}
.band{fill:var(--band)}
.grid{stroke:var(--faint);stroke-width:1}
.limit{stroke:var(--fg);stroke-width:1.5;stroke-dasharray:5 3}
.spread{stroke:var(--c3);stroke-width:3;stroke-linecap:round}
.whisker,.compare{stroke:var(--fg);stroke-width:1.2}.compare{stroke-width:2}
.cross{stroke:var(--c5);stroke-width:2.6;stroke-linecap:round}
.wire{stroke:var(--dim);stroke-width:1.5}.head{fill:var(--dim)}
.zoom{stroke:var(--dim);stroke-width:1;stroke-dasharray:3 3}
.block{stroke:var(--dim);stroke-width:1;fill:none}
.s0{fill:var(--c0);fill-opacity:.13;stroke:var(--c0)}.s1{fill:var(--c1);fill-opacity:.15;stroke:var(--c1)}
.s3{fill:var(--c3);fill-opacity:.15;stroke:var(--c3)}
.r0{fill:var(--c0)}.r1{fill:var(--c1)}
footer{margin-top:40px;color:var(--dim);font-size:13px}
@media (max-width:760px){.tiles{grid-template-columns:repeat(2,1fr)}}
@media print{:root{--bg:#fff;--fg:#000;--dim:#444;--faint:#ccc;--band:#f3f3f3;--card:#fff;
--link:#000;--good:#00563c;--bad:#9a3400;--note:#604000;--c0:#0072b2}
html{font-size:12px}body{padding:0}nav{display:none}
svg,.tile,tr,.alarm{break-inside:avoid}h2,h3{break-after:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

#: rules for marks and curves
MARK_CSS = """\
.hollow{fill:none;stroke-width:2}.hollow.c0{stroke:var(--c0)}
.hollow.c2{stroke:var(--c2)}.hollow.c7{stroke:var(--c7)}.hollow.c4{stroke:var(--c4)}
.stroked{stroke-width:2;stroke-linecap:round}.stroked.c5{stroke:var(--c5)}.stroked.c1{stroke:var(--c1)}
.curve{fill:none;stroke-width:2}.curve.c0{stroke:var(--c0)}.curve.c1{stroke:var(--c1)}
.curve.c2{stroke:var(--c2)}.curve.c3{stroke:var(--c3)}.curve.c4{stroke:var(--c4)}
.curve.c5{stroke:var(--c5)}.curve.c6{stroke:var(--c6)}.curve.c7{stroke:var(--c7)}
svg.key{display:inline-block;width:14px;height:14px;vertical-align:-2px;margin:0}
"""

#: rules that only a whole page needs, after those above; drawings on their own do without
PAGE_CSS = """\
td code{font-size:12.5px;overflow-wrap:normal}
@page{size:A4 landscape;margin:12mm}
@media print{body{max-width:none}section{margin-top:18px}.scroll{overflow:visible}
.tiles{grid-template-columns:repeat(4,1fr)}
table{font-size:10.5px}th,td{padding-right:10px}td code{font-size:10.5px}}
"""
