"""Classes of the user's own, by their import path; what is built in is what its class says."""

import sys

import pytest

from spd.detectors.registry import DETECTORS
from spd.methods.options import METHODS, Recipe, parse_recipe

HEAD = "from spd.detectors.base import Detector\nfrom spd.options import Options\n"
METHOD = "from spd.methods.base import Method\nfrom spd.methods.options import Recipe\n"
TWO_CLASS = (
    "from spd.detectors.finetuned.base import FineTuned\n"
    "from spd.detectors.finetuned.options import FineTuningOptions\n"
)
FIT = "    def fit(self, features, names=None): pass\n"
SCORE = "    def score(self, features, size, names=None): pass\n"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module of the user's own into the working directory, which is not on the path yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})

    def write(text, name):
        (tmp_path / f"{name}.py").write_text(text)
        return f"{name}:Mine"

    return write


@pytest.mark.parametrize("registry", [METHODS, DETECTORS], ids=lambda registry: registry.kind)
def test_an_entry_says_what_its_class_says(registry):
    for name, entry in registry.items():
        cls = entry.load()
        assert cls.Options is entry.options
        if registry is DETECTORS:
            own = registry._entry(entry.path)  # as if it were the user's
            assert (own.label, own.setup, own.tasks) == (entry.label, entry.setup, entry.tasks), name


def test_a_detector_of_the_users_own_is_found_in_the_working_directory(module):
    entry = DETECTORS[module(f"{HEAD}class Mine(Detector):\n{FIT}{SCORE}", "own_detector")]
    assert (entry.label, entry.setup) == ("Mine", "1cls") and entry.load().__name__ == "Mine"


def test_a_network_of_the_users_own_says_its_task(module):
    text = f"{TWO_CLASS}class Mine(FineTuned):\n    tasks = ('segmentation',)\n    def forward(self): pass\n"
    entry = DETECTORS[module(text, "own_network")]
    assert (entry.setup, entry.tasks) == ("2cls", ("segmentation",))


def test_a_recipe_of_the_users_own_has_its_keys_and_all_others(module):
    text = f"{METHOD}class R(Recipe):\n    width: int = 3\n"
    text += "class Mine(Method):\n    Options = R\n    def forward(self): pass\n"
    recipe = parse_recipe({"method": module(text, "own_method"), "width": 5, "batch": 8})
    assert (recipe.width, recipe.batch, isinstance(recipe, Recipe)) == (5, 8, True)
    assert parse_recipe(recipe.model_dump(mode="json")) == recipe
    with pytest.raises(ValueError, match="widths"):
        parse_recipe({"method": recipe.method, "widths": 5})


@pytest.mark.parametrize(
    ("registry", "text", "says"),
    [
        (DETECTORS, "import nowhere_at_all", "cannot be imported: ModuleNotFoundError: No module"),
        (DETECTORS, "class Mine(", "cannot be imported: SyntaxError"),
        (DETECTORS, "1 / 0", "cannot be imported: ZeroDivisionError"),
        (DETECTORS, "class Other: pass", "has no Mine; it has Other"),
        (DETECTORS, "class Mine: pass", "no subclass of spd.detectors.base.Detector or"),
        (DETECTORS, f"{HEAD}class Mine(Detector):\n{FIT}", "lacks score, which each detector defines"),
        (DETECTORS, f"{HEAD}class Mine(Detector): pass", "the class lacks fit, score"),
        (DETECTORS, f"{TWO_CLASS}class Mine(FineTuned): pass", "the class lacks forward, tasks"),
        (DETECTORS, f"{HEAD}class Mine(Detector):\n    Options = dict\n{FIT}{SCORE}", "no subclass of spd"),
        (
            DETECTORS,
            f"{HEAD}class O(Options):\n    k: int\nclass Mine(Detector):\n    Options = O\n{FIT}{SCORE}",
            "Options have no default for k",
        ),
        (METHODS, f"{METHOD}class Mine(Method): pass", "the class lacks forward, which each method defines"),
        (METHODS, "class Mine: pass", "no subclass of spd.methods.base.Method"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_class_is_said_with_the_names_that_there_are(module, registry, text, says):
    name = f"wrong_{abs(hash(text))}"
    with pytest.raises(ValueError, match=f"^{name}:Mine: ") as error:
        registry[module(text, name)]
    assert says in str(error.value)
    assert f"there are {', '.join(registry)}, and" in str(error.value)


def test_a_module_that_is_not_there_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"No module named 'nowhere'.*looked for in {tmp_path}"):
        DETECTORS["nowhere.knn:KNN"]


def test_a_slip_of_the_keyboard_is_answered_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"no detector named 'padin' \(did you mean 'padim'\?\); there are"):
        DETECTORS["padin"]
    with pytest.raises(ValueError, match=r"no method named 'byol'; there are simsiam, moco, simclr"):
        METHODS["byol"]
