"""What a user is told when something is wrong, in the order in which a run meets it: nothing but texts."""

# The machine, and Git
INTERRUPTED = "interrupted, nothing was written"
ALL_WRITTEN = "interrupted just when all was written: run `dvc repro` again"
NO_MEMORY = "not enough memory"
NO_MEMORY_OF_TORCH = f"{NO_MEMORY}: take fewer words at a time, model.device_map: auto, or a smaller model"
NO_DOCSTRINGS = "transformers and --help need docstrings: unset PYTHONOPTIMIZE, and leave out -OO"
UNWRITABLE = "{} cannot be written: {}"
TWO_RUNS = "{} was removed: does another run of this stage go on?"
NO_STAGE = "dvc.yaml has no stage {}: `git restore dvc.yaml` brings it back"
NO_COMMIT = "this is no Git repository with a commit: `git init && git add -A && git commit -m start`"
NO_RUN = "{} of this repository\n`git log --oneline` and `dvc exp list` name those that there are"
NO_FILE_OR_REVISION = "{} is neither a file nor a Git revision or experiment"
NO_REVISION = "{} is no Git revision or experiment"
SHALLOW = "{}; a shallow clone lacks most of them"

# Settings and words; what only a captured run can check
NO_CONTENT = "{} holds no {}"
EMPTY_LIST = "{} is empty: its first line must be {}"
NO_LAYER = "{}: {} is not a layer of {}, which has {}"
NO_TOKEN = "{}: {} is outside the prompt of {} tokens: {} to {}"
NOT_KEPT = "{}: token {} is not among those that capture.positions kept of {}"
SAME_VECTORS = "tokens.target: token {} has the same vectors whatever the word in layer {}: {}"

# The model: finding it
NO_GGUF = "model.name: there is no file {}"
NO_CONFIG = "model.name: the folder {} holds no model: it has no config.json"
NO_SAFETENSORS = "model.name: {} has no weights in safetensors format (model.safetensors)"
NO_MODEL_FOLDER = "model.name: there is no folder {}{}"
NO_MODEL = "model.name: no folder {} here, and no model of that name on the Hugging Face hub{}"
NO_MODEL_REVISION = "model.revision: {} has no revision {!r} on the hub"
GATED = "model.name: {} is gated: accept its terms on the hub, then run `hf auth login`"
_UNREACHED = (
    ", and the Hugging Face hub cannot be reached{2}\n"
    "with a network, `hf download {0} --revision {1}` fetches it once for use without one"
)
IN_PART = "model.name: {0} is in the cache without all its files" + _UNREACHED
NOT_HERE = "model.name: no folder {0} here" + _UNREACHED
# Loading it
NO_TOKENIZER = "{} has no tokenizer: a file such as tokenizer.json or vocab.txt is missing"
NO_DEVICE = "model.device: there is no {} on this machine; auto takes what there is"
NO_DEVICE_TO_SPREAD = "model.max_memory: there is no device {} on this machine, which has {}"
NO_DOUBLE = "model.dtype: mps cannot compute in float64; use model.device: cpu, or float32"
TOO_LARGE = (
    "model.name: {} needs {:.1f} GiB of memory, this machine has {:.1f} GiB "
    "free: take a smaller model, or model.device_map: auto, which uses the disk as well"
)
NOT_BUILT = "transformers cannot build {}: {}"
QUANTISED = "{} is quantised ({}), and cannot be loaded here: {}"
QUANTISED_SOMEHOW = "transformers does not know how"
DAMAGED = "{} cannot be loaded, it is cut short or damaged: {}"
DAMAGED_FOLDER = "{} cannot be loaded, a file of it is missing or damaged: {}"
NO_WEIGHTS = "no weights for {}"
OTHER_SHAPE = "weights of another shape than config.json says: {}"
NO_PLACE = (
    "model.name: its files hold weights that have no place in the model: {}\n"
    "its config.json names fewer layers than there are, or does not say how the weights are quantised"
)
NOT_READ = (
    "model.name: {} holds what transformers does not read from such files: {}\n"
    "its numbers would be wrong; take the model's own folder with weights in safetensors format"
)
# Its attention
NO_ATTENTION = "{} has no attention in its layers ({})"
UNKNOWN_ATTENTION = "{} makes no query, key and value of one input with linear modules known here (it has {})"
SEVERAL_STACKS = (
    "model.name: {} has several stacks of layers ({}), which are not one sequence of layers over the tokens of the text"
)
NONE_ATTENDS = "model.name: none of the layers of {} attends ({})"
NO_TEXT_READ = "model.name: {} reads {}, not the tokens of a text"
NOT_LINEAR = "model.name: {} of {} is a {}, not a linear map of its input's units"
# Its tokens
NO_FAST_TOKENIZER = "model.name: its tokenizer, which has no fast version, cannot tell what a token covers"
CHANGED_TEXT = (
    "model.name: its tokenizer loses or changes what it is given; its files may be those of another kind\n"
    "prompt: {!r}; the model would read: {!r}"
)
UNKNOWN_WORDS = "{}: the model's tokenizer does not know {}\nit reads each as {}; choose other words"
SAME_TOKENS = "{}: the model reads the same tokens for {}; leave one of each out"
NO_OWN_TOKEN = "{}: no token of their own in {!r}: {}"
SEVERAL_TOKENS = (
    "{} of several tokens: {}\n"
    "{}choose other words, or set prompt.multi_token to last or mean (of their tokens' vectors)"
)
SPACE_BEFORE = '{} of {} are single tokens with a space before {{word}}: prompt.template: "{}"; or '
_OTHER = "prompt.template: the text around the word is tokenised differently from word to word in {!r}: {}\n"
OTHER_TEXT = _OTHER + "choose other words"
OTHER_TEXT_WITHOUT_SPACE = _OTHER + "put a space between {{word}} and the rest"
OTHER_TEXT_OF_REFERENCE = (
    "similarity.reference_words: the prompt around them has other tokens than around the words; "
    "put a space between {word} and the rest of prompt.template"
)
TOO_LONG = "prompt.template: {} tokens with {}, the model takes {}"
IN_SENTENCE = "sentences.templates.{}, {}: {}"
# Running it, and what it shows
NOT_ALONE = "model.name: {0} does not run on a text alone: {2}"
FAILED = "model.name: {0} fails at the prompt of {1!r}: {2}"
NOT_FINITE = "activations of layer {} ({}) are not finite with {!r}{}"
UNUSED = "{} was not used when the model read a text"
OTHER_TOKENS = "{} works on {} tokens where the prompt has {}"
NO_PRODUCTS = "{}: its attention could not be watched: it multiplies no batches of matrices"
NOT_CAPTURED = (
    "{}: the {} that the attention receives are not those captured\ncaptured: heads, tokens, units {}; received: {}"
)
NOT_A_PRODUCT = (
    "model.name: {} as captured is not its input times the weights in data/projections.safetensors\n"
    "run `dvc repro -f capture`; if that does not help, set nulls.enabled: false"
)

# Files between the stages
NOT_THERE = "{} is not there: run `dvc repro`, which makes it or names what is missing"
NOT_MADE = "{} is not there: run `dvc repro`, which makes it"
IS_FOLDER = "{} cannot be read: it is a folder"
FORBIDDEN = "{} cannot be read: this user may not read it"
CUT_SHORT = "{} is cut short or not a {} of this pipeline ({}):\ndelete it and run `dvc repro`"
CHANGED = "changed while the stage ran: {}; nothing was written\nrun `dvc repro` again"

# Runs and reference geometries
NO_FILE = "there is no file {}"
NOT_CACHED = (
    "{0} of {1} is neither in DVC's cache nor in a remote that can be reached\n"
    "`dvc repro --force` in a checkout of {1} makes it"
)
NO_SIMILARITIES = "{} holds no similarities: name a run, or its {}"
NOT_EACH_PAIR = "{} does not hold a similarity for each pair of its {} words"
NO_MATRIX = "{}: {} has no {}, only {}"
NO_GEOMETRY_FILE = "{}: there is no file {} in {}{}"
NO_FORMAT = "{}: {} must end in one of {}"
NO_SUCH_KIND = "{}: {} is no {}: {}"
# ... which may be, of a table
NO_COMMAS = "columns separated by commas are needed, found {!r}"
UNEVEN_ROW = "line {} has {} cells, the first line {}"
NO_LAYOUT = "neither a square, of which the first row and the first column hold the same words, nor three columns"
NO_COUNTS = "columns word and one that ends in count are needed, found {}"
NO_COUNT = "{} of {!r} is {!r}, no number above 0"
# ... of arrays and RDMs
NO_ARRAYS = "arrays words, and distances or similarities, are needed; found {}"
NO_REAL_NUMBERS = "{} are {}, no real numbers"
SEVERAL_RDMS = "{} RDMs, one is needed"
NO_DESCRIPTOR = "no descriptor of patterns such as {}"
# ... and of all
OTHER_NUMBER = "{} words, and values of shape {}"
NONE_OF_THE_WORDS = "it holds none of the run's words, but {}"
WORD_TWICE = "{!r} is in it twice"
NO_NUMBER = "no number for {!r} and {!r}"
TWO_NUMBERS = "two different numbers for {!r} and {!r}"
HOLDS_WHAT = "its diagonal does not say what it holds; add holds: distances, or similarities"
# Why one is left out, and when none stays
LACKS_WORDS = "{} lacks {} of {} words: {}"
NO_EMBEDDINGS = "the model has no input embeddings"
ALL_THE_SAME = "all words have as many {}"
NONE_LEFT = "rdms.candidates: all are left out: name another, or write rdms.enabled: false"
FEW_IN_ALL = "rdms.candidates: {} of {} words are in all of {}: too few to compare"
ALL_ALIKE = "rdms.candidates.{}: all {} pairs of words are alike: nothing to compare"

# Commands: gate
NO_MAIN = "there is neither {} here: `git fetch origin main`, or name another with --base"
NO_LOCK = "DVC cannot tell whether dvc.lock is that of the workspace: {}"
STALE = "dvc.lock is stale, stage {}: {}; run `dvc repro`"
UNREADABLE = "{} of {} cannot be read: {}"
NO_METRIC = "{} has no metric in {}"
NO_TOLERANCE = 'metrics/tolerances.yaml: no tolerance fits {}: end it with a line for everything, like `"*": 0.00001`'
# compare, and keep
OTHER_METRIC = "the metrics differ: {} in {}, {} in {}\nrun one of them again with the other's similarity.metric"
FEW_IN_COMMON = "{} and {} have {} words in common, a comparison needs {}: {} words in the one, {} in the other"
NO_MATRIX_IN_RUN = "{} holds no {}: its model has none, or the run is older"
NO_EXPERIMENTS = "DVC cannot list experiments: {}"
NO_SCORES = "there is nothing to draw: none of these runs has all its tables"
NO_FOLDER_NAME = "{!r} cannot name a folder"
NOTHING_TO_KEEP = "there is no run to keep, {} is not there: run `dvc repro` first"
# export
NO_SUFFIX = "{} must end in one of {}: the suffix decides the format"
THERE_ALREADY = "{} is there already: give another name, or --force to replace it"
NO_PYARROW = "Parquet needs pyarrow: `pip install pyarrow`, or write a .csv"
