"""Pictures as SVG, drawn on the server: without scripts, in the page's colours, with their figures as text beside."""
