"""The case studies: each file is one table, its protocol, its models and its result."""
