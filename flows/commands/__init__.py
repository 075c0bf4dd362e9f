"""The commands of `clara`, by topic; what they need is imported when they are called."""
