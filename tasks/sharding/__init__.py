"""Data steps in shards: cut, done by whichever task runner, and taken in again."""
