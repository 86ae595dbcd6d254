import importlib.util
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from unbraid import catalogue
from unbraid.errors import UnbraidError

HOME = Path(__file__).parents[2]
SHIPPED = HOME / "config/models.yaml"
LOCAL = """
mine:
  backend: demucs
  architecture: HTDemucs
  description: my own
  stems: [left, right]
  rate: 44100
  channels: 2
  licence: mine
  weights:
    - name: a
      sources: [{file: weights/a.th}]
"""


def upstream() -> Path:
    spec = importlib.util.find_spec("demucs")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "remote"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.yaml"
    path.write_text(text)
    return path


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(UnbraidError) as caught:
        catalogue.load([written(tmp_path, text)])
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["htdemucs", "htdemucs_ft", "htdemucs_6s", "hdemucs_mmi", "mdx", "mdx_extra", "mdx_q", "mdx_extra_q"],
)
def test_a_shipped_bag_is_the_one_that_the_installed_demucs_describes(name):
    bag = yaml.safe_load((upstream() / f"{name}.yaml").read_text())
    model = catalogue.load([SHIPPED])[name]
    assert [weights.name for weights in model.weights] == bag["models"]
    assert model.segment == bag.get("segment")
    assert (model.mixing and [list(row) for row in model.mixing]) == bag.get("weights")


def test_every_shipped_url_is_one_that_upstream_lists_and_its_digest_is_that_of_its_name():
    root, urls = "", []
    for line in (upstream() / "files.txt").read_text().splitlines():
        if line.startswith("root:"):
            root = line.removeprefix("root:").strip()
        elif line.endswith(".th"):
            urls.append(f"https://dl.fbaipublicfiles.com/demucs/{root}{line}")
    models = catalogue.load([SHIPPED]).values()
    weights = [one for model in models if model.backend == "demucs" for one in model.weights]
    assert len(weights) == 23
    for one in weights:
        source = one.sources[0]
        assert source.location in urls
        assert Path(source.location).stem.startswith(f"{one.name}-")
        assert source.sha256 is not None
        assert source.sha256.startswith(Path(source.location).stem.split("-")[1])


def test_every_shipped_model_says_its_licence_and_those_that_need_diffq_say_so():
    for name, model in catalogue.load([SHIPPED]).items():
        assert model.licence
        assert ("diffq" in model.description) == name.endswith("_q")


def test_the_identity_model_needs_no_weights_and_takes_any_rate_and_channels():
    model = catalogue.load([SHIPPED])["identity"]
    assert (model.backend, model.stems, model.rate, model.channels) == ("identity", ("copy",), None, None)
    assert (model.weights, model.identity) == ((), [])


def test_the_identity_of_weights_is_the_digest_of_their_tensors_or_else_of_their_file():
    models = catalogue.load([SHIPPED])
    assert models["htdemucs"].identity == ["65cec6bdc05b14448561783c6339f0fc32cb8fdcc0e5fbdaaf0485380b6dff49"]
    assert models["mdx_q"].identity == ["3fd82607", "8778635e", "196e0e1b", "18378783"]


def test_a_local_checkpoint_has_no_identity_until_its_digest_is_filled_in(tmp_path):
    model = catalogue.load([written(tmp_path, LOCAL)])["mine"]
    with pytest.raises(UnbraidError, match=r"weights/a\.th"):
        _ = model.identity
    weights = model.weights[0]
    source = replace(weights.sources[0], sha256="ab" * 32)
    filled = replace(model, weights=(replace(weights, sources=(source,)),))
    assert filled.identity == ["ab" * 32]


def test_a_later_file_adds_models_and_replaces_those_of_the_same_name(tmp_path):
    mine = written(tmp_path, LOCAL + LOCAL.replace("mine:", "htdemucs:", 1))
    models = catalogue.load([SHIPPED, mine])
    assert models["mine"].stems == ("left", "right")
    assert models["htdemucs"].description == "my own"
    assert models["htdemucs_ft"] == catalogue.load([SHIPPED])["htdemucs_ft"]


def test_an_unknown_model_is_an_error_with_the_nearest_name():
    with pytest.raises(UnbraidError, match="Did you mean 'htdemucs_ft'"):
        catalogue.find(catalogue.load([SHIPPED]), "htdemucs-ft")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("licence:", "license:", "unknown key 'license' (Did you mean 'licence'?"),
        ("- name: a\n", "- name: a\n      sha265: x\n", "unknown key 'weights.1.sha265' (Did you mean 'sha256'?"),
        ("{file: weights/a.th}", "{file: a.th, memeber: b}", "(Did you mean 'member'?"),
        ("  licence: mine\n", "", "'licence' is missing"),
        ("rate: 44100", "rate: fast", "rate: input should be a valid integer"),
        ("channels: 2", "channels: 6", "channels: input should be 1 or 2"),
        ("[left, right]", "[left, left]", "stems: names must differ"),
        ("[left, right]", "[]", "stems: tuple should have at least 1 item"),
        ("name: a", "name: ../a", "weights.1.name: string should match"),
        ("{file: weights/a.th}", "{url: 'https://example.org/a.th'}", "needs a `sha256`"),
        ("{file: weights/a.th}", "{url: 'https://example.org/a.th', sha256: 18378783}", "put it in quotes"),
        ("{file: weights/a.th}", "{url: ftp://x/a.th, sha256: '18378783'}", "'ftp://x/a.th' is no url source"),
        ("{file: weights/a.th}", "{npm: a@1, sha256: '18378783'}", "`member` names the file"),
        ("{file: weights/a.th}", "{npm: --help@1, sha256: '18378783', member: b, member_sha256: '18378783'}", "no npm"),
        ("{file: weights/a.th}", "{npm: a@1, sha256: '18378783', member: b}", "`member_sha256` goes with `member`"),
        ("{file: weights/a.th}", "{ftp: a.th}", "a source has one of file, url, npm"),
        ("licence: mine", "licence: mine\n  mixing: [[1, 1], [1, 1]]", "one row per weights"),
        ("licence: mine", "licence: mine\n  mixing: [[1, 0]]", "gives a stem to no network"),
        ("licence: mine", "licence: mine\n  segment: .inf", "segment: input should be a finite number"),
    ],
)
def test_a_mistake_in_an_entry_is_an_error_that_names_it(tmp_path, old, new, expected):
    assert old in LOCAL
    message = refused(tmp_path, LOCAL.replace(old, new, 1))
    assert "The model 'mine'" in message
    assert expected in message


@pytest.mark.parametrize("text", ["mine: 3", "- a\n- b", "mine: {", "\x00"])
def test_a_file_of_another_form_is_an_error_that_names_it(tmp_path, text):
    assert str(tmp_path / "models.yaml") in refused(tmp_path, text)


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(UnbraidError, match=r"nowhere\.yaml"):
        catalogue.load([tmp_path / "nowhere.yaml"])


def test_an_empty_file_adds_nothing(tmp_path):
    assert catalogue.load([written(tmp_path, "# none yet\n")]) == {}


def test_a_model_travels_to_a_job_unchanged():
    model = catalogue.load([SHIPPED])["mdx"]
    assert pickle.loads(pickle.dumps(model)) == model


def test_planning_with_the_catalogue_loads_nothing_heavy():
    code = (
        "import sys; from pathlib import Path; from unbraid import catalogue, fetch;"
        f"catalogue.load([Path({str(SHIPPED)!r})]);"
        "print([name for name in ('torch', 'numpy', 'onnx', 'requests', 'demucs') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(HOME / "scripts")},
    )
    assert found.stdout.strip() == "[]"
