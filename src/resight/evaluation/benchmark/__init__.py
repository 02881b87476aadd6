"""Methods compared on benchmarks: one extraction for all of them, official protocols, a report."""
