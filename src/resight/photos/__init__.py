"""Photos on the disk: the files, and what is read from them."""
