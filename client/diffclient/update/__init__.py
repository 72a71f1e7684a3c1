"""One update, from poll to switch; and the loop that repeats it."""
