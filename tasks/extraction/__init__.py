"""Extraction: any document to Markdown text and images, each file in a guarded process."""
