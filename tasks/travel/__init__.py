"""Workspaces on an object store: a local mirror to work in, and what goes to and fro."""
