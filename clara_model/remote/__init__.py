"""Code that travels with an exported model; nothing else of the project imports it."""
