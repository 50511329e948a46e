"""What `dvc.yaml` says about code, without DVC."""

import pytest
import yaml

from flows.pipeline import code_of, install_stages, with_code
from recognizer.home import Home, checkout
from recognizer.params import STAGES


def stages():
    return yaml.safe_load((checkout() / "dvc.yaml").read_text())["stages"]


def test_every_stage_names_all_code_it_runs():
    text = (checkout() / "dvc.yaml").read_text()
    assert with_code(text, checkout()) == text, "run `python -m flows.pipeline`"


def test_stages_are_the_keys_of_params():
    assert tuple(stages()) == STAGES
    for name, stage in stages().items():
        assert stage["do"]["params"] == [f"{name}.${{item}}"]


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_depends_on_a_folder_of_code_or_of_data(stage):
    deps = stages()[stage]["do"]["deps"]
    assert not {"recognizer", "training", "serving", "flows", "data", "data/pinned/${item}"} & set(deps)


@pytest.fixture
def code(tmp_path):
    files = {
        "training/__init__.py": "",
        "training/net.py": "from recognizer import joints\nimport numpy\n",
        "recognizer/__init__.py": "",
        "recognizer/joints.py": "def f():\n    from recognizer.deep.bones import BONES\n",
        "recognizer/deep/__init__.py": "",
        "recognizer/deep/bones.py": "BONES = ()\n",
        "recognizer/unused.py": "",
        "serving/action/predictor.py": "import recognizer.windows\n",
        "recognizer/windows.py": "",
        "flows/stages.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


TRAINING = [
    "recognizer/__init__.py",
    "recognizer/deep/__init__.py",
    "recognizer/deep/bones.py",
    "recognizer/joints.py",
    "training/__init__.py",
    "training/net.py",
]


def test_code_is_what_is_imported_also_inside_functions(code):
    assert code_of(code, "train") == TRAINING
    more = ["flows/stages.py", "recognizer/windows.py", "serving/action/predictor.py"]
    assert code_of(code, "evaluate") == sorted(TRAINING + more)


def test_code_lines_are_replaced_and_the_rest_is_kept(code):
    text = "# said\nstages:\n  train:\n    do:\n      deps:\n        - data/x\n        - old.py\n      outs: [y]\n"
    lines = "".join(f"        - {name}\n" for name in TRAINING)
    assert with_code(text, code) == text.replace("        - old.py\n", lines)
    assert with_code(with_code(text, code), code) == with_code(text, code)


def test_the_checkout_as_home_needs_no_stages_of_its_own():
    before = (checkout() / "dvc.yaml").read_bytes()
    install_stages(Home(checkout()))
    assert (checkout() / "dvc.yaml").read_bytes() == before


@pytest.mark.parametrize("own", [False, True], ids=["params of the checkout", "params of its own"])
def test_another_home_names_the_checkouts_files(tmp_path, own):
    if own:
        (tmp_path / "params.yaml").write_text("{}")
    install_stages(Home(tmp_path))
    train = yaml.safe_load((tmp_path / "dvc.yaml").read_text())["stages"]["train"]["do"]
    assert str(checkout() / "training" / "__init__.py") in train["deps"]
    assert "data/pinned/${item}/parent" in train["deps"]
    assert train["params"] == (["train.${item}"] if own else [{str(checkout() / "params.yaml"): ["train.${item}"]}])
    assert train["outs"] == [{"data/processed/${item}/trained": {"persist": True}}]
    written = (tmp_path / "dvc.yaml").stat().st_mtime_ns
    install_stages(Home(tmp_path))
    assert (tmp_path / "dvc.yaml").stat().st_mtime_ns == written
