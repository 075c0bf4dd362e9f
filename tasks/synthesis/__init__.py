"""Questions, answers and paraphrases about passages, asked of an LLM and checked."""
