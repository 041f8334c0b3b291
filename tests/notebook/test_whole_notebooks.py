"""Notebooks as people write them, cell by cell, each published to a real server: the service answers as the notebook does.

`tests/capture/corpus` has one construct a case; here they come together, with the mess that comes with them.
"""

# ruff: noqa: E501  (cells are read by the line)

from __future__ import annotations

import pytest

NOTEBOOKS: dict[str, tuple[list[str], str, str]] = {}
"""Name to the cells, the line that publishes, and the inputs of a call."""


def notebook_of(name, *cells, publish, call):
    NOTEBOOKS[name] = (list(cells), publish, call)


notebook_of(
    "features",
    "%matplotlib_is_not_here = 1\n".replace("%", "# "),
    "import numpy as np, pandas as pd\nfrom pathlib import Path\nPath('data').mkdir(exist_ok=True)\nraw = pd.DataFrame({'city': ['a', 'b', 'a', None], 'price': [1.0, 2.0, np.nan, 4.0], 'when': pd.date_range('2024-01-31', periods=4, freq='D')})\nraw.to_csv('data/raw.csv', index=False)\nraw.describe()",
    "df = pd.read_csv('data/raw.csv', parse_dates=['when'])\nmeans = df.groupby('city', dropna=False)['price'].mean()\nmedians = {city: float(v) for city, v in means.items() if isinstance(city, str)}\nCATEGORIES = pd.CategoricalDtype(['a', 'b', 'other'])\n_",
    "def fill(frame): return frame.assign(price=frame['price'].fillna(frame['city'].map(medians)).fillna(0))\ndef encode(frame, *, prefix='city'):\n    city = frame['city'].where(frame['city'].isin(medians), 'other').astype(CATEGORIES)\n    return frame.join(pd.get_dummies(city, prefix=prefix, dtype=float))\ndef calendar(frame): return frame.assign(month=frame['when'].dt.month, late=lambda f: (f['when'].dt.day > 15).astype(int))",
    "features = lambda frame: frame.pipe(fill).pipe(encode).pipe(calendar).drop(columns=['city', 'when'])\nfeatures(df).dtypes",
    "def row(city: str, price: float, when: str) -> pd.DataFrame:\n    frame = pd.DataFrame([{'city': city, 'price': price, 'when': pd.Timestamp(when)}])\n    return features(frame)",
    publish="%publish row {name} 1 --sample 'a', 3.5, '2024-05-20'",
    call="'zz', 0.5, '2023-11-02'",
)
notebook_of(
    "closures",
    "import pandas as pd, functools\nprices = pd.DataFrame({'item': list('abc'), 'price': [1.5, 2.5, 4.0]}).set_index('item')",
    "def make_quote(table, *, vat=0.19):\n    cache = {}\n    calls = 0\n    def quote(item, n=1):\n        nonlocal calls\n        calls += 1\n        if item not in cache:\n            cache[item] = float(table.loc[item, 'price'])\n        return round(cache[item] * n * (1 + vat) * discount(n), 4)\n    def statistics():\n        return {'calls': calls, 'cached': sorted(cache)}\n    quote.statistics = statistics\n    return quote\n@functools.lru_cache(maxsize=None)\ndef discount(n):\n    return next((rate for least, rate in STEPS if n >= least), 1.0)\nSTEPS = [(100, 0.8), (10, 0.9)]",
    "quote = make_quote(prices)\nquote('a'), quote('b', 12), quote.statistics()",
    "def offer(item: str, n: int) -> float:\n    return quote(item, n)",
    publish="%publish offer {name} 1 --sample 'c', 5",
    call="'b', 150",
)
notebook_of(
    "hierarchy",
    "from abc import ABC, abstractmethod\nfrom dataclasses import dataclass, field\nfrom typing import ClassVar, Protocol\nimport math",
    "class Registered:\n    known: ClassVar[dict[str, type]] = {}\n    def __init_subclass__(cls, /, kind=None, **more):\n        super().__init_subclass__(**more)\n        if kind: Registered.known[kind] = cls; cls.kind = kind\nclass HasArea(Protocol):\n    def area(self) -> float: ...\n@dataclass\nclass Shape(Registered, ABC):\n    scale: float = 1.0\n    tags: list[str] = field(default_factory=lambda: ['new'])\n    def __post_init__(self): self.tags.append(type(self).__name__.lower())\n    @abstractmethod\n    def area(self) -> float: ...\n    @property\n    def size(self): return round(self.area() * self.scale ** 2, 6)\n    @classmethod\n    def of(cls, kind, *a): return Registered.known[kind](*a)\n    @staticmethod\n    def unit(): return UNIT\nUNIT = 'cm2'",
    "@dataclass\nclass Circle(Shape, kind='circle'):\n    r: float = 1.0\n    def area(self): return math.pi * self.r ** 2\n@dataclass\nclass Ring(Circle, kind='ring'):\n    hole: float = 0.5\n    def area(self): return super().area() - math.pi * self.hole ** 2",
    "shapes = [Circle(2.0), Ring(hole=0.25)]\ntotal = lambda items: sum(one.size for one in items)\ntotal(shapes)",
    "def measure(kind: str, r: float) -> dict:\n    shape = Shape.of(kind, 1.0, [], r)\n    extra: HasArea = shapes[1]\n    return {'size': [shape.size], 'tags': [','.join(shape.tags)], 'unit': [shape.unit()], 'all': [total(shapes) + extra.area()]}",
    publish="%publish measure {name} 1 --inputs kind=str,r=float --outputs answer=DataFrame --sample 'ring', 3.0",
    call="'circle', 1.5",
)
notebook_of(
    "dispatch",
    "import re, datetime as dt, decimal, functools, operator\nfrom collections import namedtuple, Counter, defaultdict\nfrom enum import Enum, auto\nfrom typing import NamedTuple, TypedDict",
    "class Kind(Enum):\n    MONEY = auto(); DATE = auto(); WORD = auto()\n    @property\n    def label(self): return self.name.lower()\nclass Found(NamedTuple):\n    kind: Kind\n    text: str\n    value: object = None\nclass Summary(TypedDict, total=False):\n    count: int\n    kinds: str\nPair = namedtuple('Pair', 'left right', defaults=[None])",
    "MONEY = re.compile(r'(?P<amount>\\d+(?:\\.\\d\\d)?) ?(?P<unit>EUR|USD)')\nDATE = re.compile(r'\\d{4}-\\d\\d-\\d\\d')\nEPOCH = dt.date(2020, 1, 1)\nRATES = {'EUR': decimal.Decimal('1.0'), 'USD': decimal.Decimal('0.92')}\nby_text = operator.attrgetter('text')\nseen = defaultdict(lambda: Counter())",
    "@functools.singledispatch\ndef number(value): raise TypeError(type(value).__name__)\n@number.register\ndef _(value: decimal.Decimal): return float(value)\n@number.register\ndef _(value: dt.date): return float((value - EPOCH).days)\n@number.register(str)\ndef _(value): return float(len(value))",
    "def scan(text):\n    for word in re.split(r'[;,]\\s*', text):\n        match word:\n            case str() if (m := MONEY.fullmatch(word)):\n                yield Found(Kind.MONEY, word, decimal.Decimal(m['amount']) * RATES[m['unit']])\n            case str() if DATE.fullmatch(word):\n                yield Found(Kind.DATE, word, dt.date.fromisoformat(word))\n            case _:\n                yield Found(Kind.WORD, word, word)",
    "def read(text: str) -> list[float]:\n    found = sorted(scan(text), key=by_text)\n    seen[found[0].kind].update(one.kind.label for one in found)\n    pair = Pair(len(found))\n    return [number(one.value) for one in found] + [float(pair.left), float(pair.right is None)]",
    publish='%publish read {name} 1 --outputs answer=vector --sample "12.50 USD; 2024-01-01, hello"',
    call="'7 EUR, x, 2021-03-04'",
)
notebook_of(
    "estimators",
    "import numpy as np, pandas as pd\nfrom sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone\nfrom sklearn.compose import ColumnTransformer, make_column_selector\nfrom sklearn.pipeline import Pipeline, FeatureUnion\nfrom sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler\nfrom sklearn.model_selection import GridSearchCV\nrng = np.random.RandomState(7)\nX = pd.DataFrame({'hp': rng.uniform(50, 300, 60), 'wt': rng.uniform(1, 5, 60), 'gear': rng.choice(['3', '4'], 60)})\ny = 40 - X['hp'] * 0.05 - X['wt'] * 3 + (X['gear'] == '4') * 2 + rng.normal(0, 0.1, 60)",
    "class Clip(BaseEstimator, TransformerMixin):\n    def __init__(self, low=0.05, high=0.95): self.low, self.high = low, high\n    def fit(self, X, y=None):\n        self.bounds_ = np.quantile(X, [self.low, self.high], axis=0); self.n_features_in_ = X.shape[1]\n        return self\n    def transform(self, X): return np.clip(X, *self.bounds_)\nclass Blend(BaseEstimator, RegressorMixin):\n    def __init__(self, parts=None, weight=0.5): self.parts, self.weight = parts, weight\n    def fit(self, X, y):\n        self.parts_ = [clone(p).fit(X, y) for p in self.parts]; return self\n    def predict(self, X): return blend([p.predict(X) for p in self.parts_], self.weight)\ndef blend(predictions, weight): return weight * predictions[0] + (1 - weight) * predictions[1]",
    "from sklearn.linear_model import Ridge\nfrom sklearn.tree import DecisionTreeRegressor\nnumbers = Pipeline([('clip', Clip()), ('more', FeatureUnion([('same', FunctionTransformer(lambda a: np.asarray(a) * UNIT)), ('ratio', FunctionTransformer(lambda a: np.asarray(a)[:, [0]] / np.asarray(a)[:, [1]]))])), ('scale', StandardScaler())])\nUNIT = 1.0\nprepare = ColumnTransformer([('n', numbers, make_column_selector(dtype_include=np.number)), ('c', OneHotEncoder(handle_unknown='ignore'), ['gear'])])\nmodel = Pipeline([('prepare', prepare), ('blend', Blend([Ridge(), DecisionTreeRegressor(max_depth=3, random_state=0)]))])\nsearch = GridSearchCV(model, {'blend__weight': [0.3, 0.7]}, cv=3).fit(X, y)\nsearch.best_params_",
    "def mpg(hp: float, wt: float, gear: str) -> float:\n    return float(search.predict(pd.DataFrame({'hp': [hp], 'wt': [wt], 'gear': [gear]}))[0])",
    publish="%publish mpg {name} 1 --sample 120.0, 2.8, '4'",
    call="250.0, 4.1, '3'",
)
notebook_of(
    "an estimator as it is",
    "import numpy as np, pandas as pd\nfrom sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import FunctionTransformer\nfrom sklearn.ensemble import RandomForestClassifier\nX = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 2)), columns=['a', 'b']); y = np.where(X['a'] + X['b'] > 0, 'up', 'down')\ndef squares(frame): return frame.assign(**{f'{c}{POWER}': frame[c] ** POWER for c in frame})\nPOWER = 2\nclassifier = make_pipeline(FunctionTransformer(squares), RandomForestClassifier(5, random_state=1)).fit(X, y)",
    publish="%publish classifier {name} 1 --sample X.head(1)",
    call="1.5, 2.0",
)
notebook_of(
    "managers",
    "import contextlib, logging, time, warnings, os, sys, json\nfrom contextlib import contextmanager, ExitStack, suppress\nlogging.basicConfig(level=logging.INFO)\nlogger = logging.getLogger(__name__)\nlogger.addHandler(logging.StreamHandler(sys.stderr))\ntimings = {}",
    "@contextmanager\ndef timed(name, store=timings):\n    started = time.perf_counter()\n    try: yield store\n    finally: store[name] = time.perf_counter() - started; logger.info('%s done', name)\nclass Transaction:\n    depth = 0\n    def __enter__(self): type(self).depth += 1; return self\n    def __exit__(self, kind, error, at): type(self).depth -= 1; return kind is KeyError\nclass Quiet(contextlib.ContextDecorator):\n    def __enter__(self): warnings.simplefilter('ignore'); return self\n    def __exit__(self, *_): warnings.resetwarnings()",
    "@Quiet()\ndef work(values):\n    with timed('work') as store, Transaction() as outer, ExitStack() as stack:\n        stack.callback(store.setdefault, 'closed', 1)\n        with Transaction(): raise KeyError('swallowed')\n        with suppress(ZeroDivisionError): 1 / 0\n        warnings.warn('not shown')\n        return sum(values) * outer.depth\nwork([1, 2])",
    "def run(values: list[float]) -> float:\n    logger.info('called with %d', len(values))\n    return float(work(values)) + (json.loads(os.environ.get('EXTRA_NUMBER', '0')))",
    publish="%publish run {name} 1 --inputs values=vector --sample [1.0,2.0,3.0]",
    call="[4.0, 5.0]",
)
notebook_of(
    "numbers by chance",
    "import numpy as np, random\nstate = np.random.RandomState(3)\ngenerator = np.random.default_rng(np.random.PCG64(11))\nplain = random.Random(5)\nweights = generator.dirichlet(np.ones(4)).astype('float32')\ngrid = np.meshgrid(np.linspace(0, 1, 3), [1, 2])\nrecords = np.rec.array([(1, 2.5, 'x')], dtype=[('n', 'i4'), ('v', 'f8'), ('t', 'U2')])\nmasked = np.ma.masked_invalid([1.0, np.nan, 3.0])\npolynomial = np.polynomial.Polynomial([1, 2, 3])\ntable = np.array([['a', 1], ['b', None]], dtype=object)",
    "def draw(seed: int) -> list[float]:\n    fresh = np.random.default_rng(seed)\n    first = fresh.choice(4, size=3, p=weights / weights.sum())\n    return [*first.astype(float), float(polynomial(2)), float(masked.mean()), float(records.v[0]), float(grid[0].sum()), float(table[1, 1] is None), state.get_state()[1][0] % 100 / 1, plain.getstate()[1][0] % 100 / 1]",
    publish="%publish draw {name} 1 --outputs answer=vector --sample 5",
    call="9",
)
notebook_of(
    "descriptors",
    "from functools import partial, partialmethod, cached_property, wraps, total_ordering, reduce\nfrom operator import itemgetter, methodcaller, mul\nimport itertools as it",
    "class Positive:\n    def __set_name__(self, owner, name): self.name = name; self.slot = f'_{name}'\n    def __get__(self, one, owner=None): return self if one is None else getattr(one, self.slot, MINIMUM)\n    def __set__(self, one, value):\n        if value < 0: raise ValueError(f'{self.name} is {value}')\n        setattr(one, self.slot, value)\nMINIMUM = 0.5\nclass Meta(type):\n    fields = {}\n    def __new__(mcls, name, bases, body, **more):\n        made = super().__new__(mcls, name, bases, body)\n        mcls.fields[name] = sorted(k for k, v in body.items() if isinstance(v, Positive))\n        return made\n    def __call__(cls, *a, **k):\n        one = super().__call__(*a, **k); one.made_by = cls.__name__; return one\ndef checked(function):\n    @wraps(function)\n    def inner(self, *a, **k):\n        inner.count += 1\n        return function(self, *a, **k)\n    inner.count = 0\n    return inner",
    "@total_ordering\nclass Tank(metaclass=Meta):\n    __slots__ = ('_level', '_size', 'made_by', '__dict__')\n    level, size = Positive(), Positive()\n    def __init__(self, level, size): self.level, self.size = level, size\n    def __eq__(self, other): return self.share == other.share\n    def __lt__(self, other): return self.share < other.share\n    __hash__ = None\n    @cached_property\n    def share(self): return self.level / self.size\n    @checked\n    def add(self, amount, *, times=1): self.level += amount * times; self.__dict__.pop('share', None); return self\n    add_twice = partialmethod(add, times=2)\n    def __getattr__(self, name):\n        if name.startswith('is_'): return lambda: self.made_by.lower() == name[3:]\n        raise AttributeError(name)\ntanks = [Tank(1, 4), Tank(3, 5)]",
    "product = partial(reduce, mul)\nsecond = itemgetter(1)\nfilled = methodcaller('add_twice', 0.25)\ndef windows(items, n):\n    buffers = it.tee(items, n)\n    for i, b in enumerate(buffers): next(it.islice(b, i, i), None)\n    yield from zip(*buffers)",
    "def level(amount: float) -> list[float]:\n    fresh = Tank(amount, 10)\n    best = max([fresh, *tanks])\n    pairs = [product(pair) for pair in windows([1, 2, 3, amount], 2)]\n    return [filled(fresh).share, second([0, best.share]), float(best.is_tank()), *map(float, pairs), float(Meta.fields['Tank'] == ['level', 'size'])]",
    publish="%publish level {name} 1 --outputs answer=vector --sample 2.0",
    call="9.5",
)
notebook_of(
    "counters and globals",
    "total = 0\nhistory = []\nmodel = None\nCONFIG = dict(threshold=0.5, labels=('no', 'yes'))",
    "def load():\n    global model\n    if model is None:\n        import math\n        from statistics import NormalDist as N\n        model = N(0, 1)\n    return model\ndef log(x):\n    global total\n    total += 1\n    history.append(x)\n    return total",
    "exec('def classify(p, c=CONFIG):\\n    return c[\"labels\"][p >= c[\"threshold\"]]')\nfor name, sign in {'plus': 1, 'minus': -1}.items():\n    globals()[name] = lambda x, sign=sign: x * sign\ndel name, sign",
    "def decide(x: float) -> str:\n    log(x)\n    return classify(load().cdf(plus(x) - minus(0))) + str(min(total, 1))",
    publish="%publish decide {name} 1 --sample 0.3",
    call="-2.0",
)
notebook_of(
    "text and lookups",
    "import json, csv, io, string, textwrap, unicodedata, base64, hashlib, zlib, struct\nfrom collections import ChainMap, OrderedDict, deque\nfrom types import SimpleNamespace, MappingProxyType\nfrom importlib import import_module\nwords = {w: i for i, w in enumerate('the quick brown fox'.split())}\nblob = zlib.compress(json.dumps(words).encode())\noptions = ChainMap({'lower': True}, {'strip': True})\nfrozen = MappingProxyType({'a': 1})\nspace = SimpleNamespace(stop={'the'}, table=str.maketrans('', '', string.punctuation))\nrecent = deque(maxlen=3)\ntemplate = string.Template('$word: $n')",
    "def normal(text):\n    text = unicodedata.normalize('NFKD', text).translate(space.table)\n    for name, apply in (('lower', str.lower), ('strip', str.strip)):\n        if options[name]: text = apply(text)\n    return text\ntokens = lambda text: [w for w in normal(text).split() if w not in space.stop]",
    "def encode(text: str) -> str:\n    known = json.loads(zlib.decompress(blob))\n    recent.extend(tokens(text))\n    rows = [template.substitute(word=w, n=known.get(w, -frozen['a'])) for w in tokens(text)]\n    check = hashlib.sha256('|'.join(rows).encode()).hexdigest()[:8]\n    return f\"{'; '.join(rows)} #{check} {import_module('math').floor(2.7)}\"",
    publish="%publish encode {name} 1 --sample 'The QUICK, fox!'",
    call="'brown  Étude'",
)
notebook_of(
    "async work",
    "import asyncio, random\nfrom dataclasses import dataclass\nlimits = {'parallel': 2}\n@dataclass(slots=True, frozen=True)\nclass Job:\n    n: int\n    weight: float = 1.0",
    "async def fetch(job, gate):\n    async with gate:\n        await asyncio.sleep(0)\n        return job.n * job.weight\nasync def numbers(n):\n    for i in range(n):\n        yield Job(i, weight=WEIGHT)\n        await asyncio.sleep(0)\nWEIGHT = 0.5",
    "async def gather(n: int) -> float:\n    gate = asyncio.Semaphore(limits['parallel'])\n    jobs = [job async for job in numbers(n)]\n    async with asyncio.timeout(5):\n        return sum(await asyncio.gather(*(fetch(j, gate) for j in jobs)))",
    publish="%publish gather {name} 1 --sample 4",
    call="7",
)
notebook_of(
    "files and modules of one's own",
    "from pathlib import Path\nPath('helpers').mkdir(exist_ok=True)\nPath('helpers/__init__.py').write_text('from .text import shout\\nVERSION = 3\\n')\nPath('helpers/text.py').write_text('from . import rules\\ndef shout(s): return s.upper() + rules.END\\n')\nPath('helpers/rules.py').write_text('END = \"!\"\\n')\nPath('tools_of_mine.py').write_text('import helpers\\ndef twice(s): return helpers.shout(s) * 2\\n')\nPath('lookup.csv').write_text('key,value\\na,1\\nb,2\\n')",
    "import sys\nsys.path.insert(0, '')\nimport helpers\nfrom helpers import shout\nimport tools_of_mine as tools\nimport csv\nDATA = Path('lookup.csv')",
    "def table():\n    with DATA.open(newline='') as file: return {r['key']: int(r['value']) for r in csv.DictReader(file)}\ndef look(key: str) -> str:\n    return f'{shout(key)}{tools.twice(key)}{helpers.VERSION}{table().get(key, 0)}'",
    publish="%publish look {name} 1 --files lookup.csv --sample 'a'",
    call="'b'",
)
notebook_of(
    "frames in and out",
    "import numpy as np, pandas as pd\nclass Scaler:\n    'Scales columns.'\n    columns: list = ['x', 'y']\n    def fit(self, frame): self.m, self.s = frame[self.columns].mean(), frame[self.columns].std(); return self\n    def __call__(self, frame): return frame.assign(**{c: (frame[c] - self.m[c]) / self.s[c] for c in self.columns})\ntrain = pd.DataFrame({'x': [1., 2., 3.], 'y': [10., 20., 60.], 'g': ['a', 'b', 'a']})\nscale = Scaler().fit(train)\nrank = train.groupby('g')['x'].transform('rank')\nedges = pd.IntervalIndex.from_breaks([-10, 0, 10])\ntz = pd.Timestamp('2024-03-31 01:30', tz='Europe/Berlin')\npivot = train.pivot_table(index='g', values=['x', 'y'], aggfunc={'x': 'sum', 'y': lambda s: s.max()})",
    "def score(frame: pd.DataFrame) -> pd.DataFrame:\n    out = frame.pipe(scale)\n    out['bin'] = edges.get_indexer(out['x']).astype(float)\n    out['best'] = float(pivot['y'].max())\n    out['hour'] = float((tz + pd.Timedelta(hours=1)).hour)\n    return out.drop(columns='g')",
    publish="%publish score {name} 1 --sample train.head(2)",
    call="pd.DataFrame({'x': [0.5, 9.0], 'y': [1.0, 2.0], 'g': ['a', 'c']})",
)
notebook_of(
    "a plot that is not drawn",
    "class Axes:\n    def __init__(self): self.calls = []\n    def __getattr__(self, name):\n        def call(*a, **k): self.calls.append((name, a)); return self\n        return call\nclass Figure:\n    def __init__(self): self.axes = Axes(); self.axes.__dict__['figure'] = self\nfig = Figure(); ax = fig.axes\nax.plot([1, 2]).set_title('x')\nplt = type('plt', (), {'gca': staticmethod(lambda: ax)})",
    "import threading\nlock_made_later = None\ndef guarded(x):\n    global lock_made_later\n    lock_made_later = lock_made_later or threading.Lock()\n    with lock_made_later: return x + len(ax.__dict__['calls'])\ndef draw(x: float) -> float:\n    plt.gca().plot([x]) if x < 0 else None\n    return float(guarded(x)) + (ax.__dict__['figure'] is fig)",
    publish="%publish draw {name} 1 --sample 2.0",
    call="3.0",
)
notebook_of(
    "run out of order",
    "def score(x: float) -> float: return helper(x) + OFFSET",
    "OFFSET = 100\nhelper = lambda x: x",
    "def helper(x): return old_helper(x) * 2\nold_helper = lambda x: x + 1\nOFFSET = 1; x = 99; del x",
    "import builtins\nclass score_type: pass\nfrom os.path import *\nfrom math import *\nsum = lambda xs: builtins.sum(xs) + 1\nabs = fabs",
    "def final(x: float) -> float:\n    return score(x) + sum([x, floor(abs(x))]) + len(basename('a/b'))",
    publish="%publish final {name} 1 --sample -2.5",
    call="7.25",
)

REFUSED = {
    "a session": ("import urllib3\npool = urllib3.PoolManager()\ndef f(x: float) -> float: return x + len(str(pool))", "pool"),
    "a connection": ("import sqlite3\ndb = sqlite3.connect(':memory:')\ndef f(x: float) -> float: return db.execute('select ?', [x]).fetchone()[0]", "db: sqlite3.Connection objects cannot be pickled"),
    "a lock": ("import threading\nlock = threading.RLock()\ndef f(x: float) -> float:\n    with lock: return x", "lock"),
    "a file": ("log = open('log.txt', 'w')\ndef f(x: float) -> float: return float(log.write(str(x)))", "log: _io.TextIOWrapper objects cannot be pickled"),
    "a weak reference": ("import weakref\nclass A: pass\na = A()\nr = weakref.ref(a)\ndef f(x: float) -> float: return x if r() else 0", "r: weakref.ReferenceType objects cannot be pickled"),
    "a generator under way": ("rows = (i for i in range(9))\nnext(rows)\ndef f(x: float) -> float: return next(rows) + x", "rows: generator objects cannot be pickled"),
    "a thread": ("import threading\nworker = threading.Thread(target=print)\ndef f(x: float) -> float: return x + worker.is_alive()", "worker"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_service_answers_as_the_notebook(notebook, name):
    cells, publish, call = NOTEBOOKS[name]
    for cell in cells:
        notebook.ok(cell)
    notebook.ok(publish.format(name=name.replace(" ", "-").replace("'", "")) + " --as service")
    function = publish.split()[1]
    if name == "an estimator as it is":
        here = notebook.ok(f"classifier.predict(pd.DataFrame([[{call}]], columns=['a', 'b']))[0]").value
    elif name == "async work":
        here = notebook.ok(f"await {function}({call})").value
    else:
        here = notebook.ok(f"{function}({call})").value
    there = notebook.ok(f"service({call})").value
    assert there.success, there
    answer = there.output(next(iter(there.outputs)))
    if hasattr(answer, "columns"):
        import pandas as pd

        expected = pd.DataFrame(here).reset_index(drop=True)
        pd.testing.assert_frame_equal(answer[list(expected)], expected, check_dtype=False)
    else:
        assert (list(answer) if not isinstance(answer, str | float) else answer) == here
    opened = notebook.ok("service.open({'__name__': '__main__'})").value
    assert function in opened.namespace or name == "an estimator as it is"


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_belongs_to_this_process_is_named(notebook, name):
    source, message = REFUSED[name]
    notebook.ok(source)
    refused = notebook.refused("%publish f refused 1")
    assert message in refused
    assert "--drop" in refused
    notebook.run("db.close()" if "db" in source else "log.close()" if "log" in source else "")
