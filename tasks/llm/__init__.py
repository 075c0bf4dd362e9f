"""LLM endpoints: the client, and the rule-based endpoint that stands in for a paid one."""
