"""From files to a collection: what to describe, and what is fitted on it."""
