"""Commands that publish versions and change what is published."""
