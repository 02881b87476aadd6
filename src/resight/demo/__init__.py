"""A sample collection that Resight draws by itself, to try a search without any photos."""

from resight.demo.run import DemoResult, draw_collection, run_demo

__all__ = ["DemoResult", "draw_collection", "run_demo"]
