"""The commands; each module parses arguments, calls the package and prints the result."""
