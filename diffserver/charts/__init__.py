"""How results are shown: charts as inline SVG (no script, no inline style, nothing fetched), and tables.

A page carries `style.CSS` once, inlined or as a file, and shows what the charts' functions return.
"""
