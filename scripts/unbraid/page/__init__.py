"""Pages for a browser, each one file that asks for no other: a song's with its player, and the list of songs."""

FILE = "index.html"
