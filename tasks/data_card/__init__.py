"""The data card: what the rows are, on one page, in Markdown and as JSON."""
