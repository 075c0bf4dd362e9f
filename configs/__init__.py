"""YAML configuration files and the schema that validates them."""
