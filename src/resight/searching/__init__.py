"""Answers out of a collection, and why two photos match."""
