# The public names, for type checkers and for the lazy imports of __init__.py.

from .backends.manage import CheckReport as CheckReport
from .backends.manage import Info as Info
from .backends.manage import check as check
from .backends.manage import info as info
from .backends.manage import remove as remove
from .backends.store import Filter as Filter
from .backends.transfer import Transfer as Transfer
from .backends.transfer import pull as pull
from .backends.transfer import push as push
from .collection import Collection as Collection
from .config import BackendConfig as BackendConfig
from .config import ExtractionConfig as ExtractionConfig
from .config import LocalConfig as LocalConfig
from .config import NoReduction as NoReduction
from .config import RerankConfig as RerankConfig
from .config import SearchConfig as SearchConfig
from .config import SelectionConfig as SelectionConfig
from .config import WhiteningConfig as WhiteningConfig
from .demo import DemoResult as DemoResult
from .demo import run_demo as run_demo
from .errors import ResightError as ResightError
from .evaluation import Evaluation as Evaluation
from .evaluation import evaluate as evaluate
from .evaluation import groups as groups
from .evaluation.benchmark import BenchmarkRun as BenchmarkRun
from .evaluation.benchmark import run_benchmark as run_benchmark
from .evaluation.datasets import read_dataset as read_dataset
from .evaluation.datasets import verify_dataset as verify_dataset
from .evaluation.datasets.dataset import Dataset as Dataset
from .indexing.cluster.merge import merge as merge
from .indexing.describe import Described as Described
from .indexing.describe import describe as describe
from .indexing.fitting import FitRun as FitRun
from .indexing.fitting import fit as fit
from .indexing.pipeline import IndexRun as IndexRun
from .indexing.pipeline import index as index
from .indexing.recording import IndexReport as IndexReport
from .methods import METHODS as METHODS
from .methods.model import ModelOptions as ModelOptions
from .ranking.groups import Groups as Groups
from .searching import Searcher as Searcher
from .searching import search as search
from .searching.query import Result as Result
from .searching.query import SearchResults as SearchResults
from .searching.sameness import Sameness as Sameness
from .searching.sameness import same as same
from .views.explain import Explanation as Explanation
from .views.explain import explain as explain
from .web import WebSettings as WebSettings
from .web import serve as serve

__version__: str
__all__: list[str]
