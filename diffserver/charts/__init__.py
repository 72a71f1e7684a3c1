"""Charts as inline SVG: no script, no inline style, nothing fetched.

A page carries `style.CSS` once, inlined or as a file, and shows what the charts' functions return.
"""
