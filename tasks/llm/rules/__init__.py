"""The rules behind the embedded endpoint: what it says about a passage or a picture."""
