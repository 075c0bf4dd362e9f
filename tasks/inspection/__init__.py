"""Looking inside a model: candidates to look at, figures, and the page."""
