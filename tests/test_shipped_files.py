"""What stands in the repository makes sense on a machine other than the one that wrote it."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_LIST = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
LISTED = subprocess.run(_LIST, cwd=ROOT, capture_output=True, check=True).stdout
SHIPPED = [ROOT / name for name in LISTED.decode().split("\0") if name]
PLACES = "home|root|Users|tmp|var|work|mnt|opt|private|scratch|srv"
OF_A_MACHINE = re.compile(rf"(?<![\w.~/:-])/(?:{PLACES})/[\w.-]+[^\s\"'`)]*|\b[A-Z]:\\\w[^\s\"']*")
ADAPTERS = sorted(ROOT.glob("agents/*/*/adapter_config.json"))


def test_no_file_names_a_place_on_a_machine():
    found = {}
    for file in filter(Path.is_file, SHIPPED):
        data = file.read_bytes()
        if b"\0" not in data:
            text = data.decode()
            places = [match[0] for match in OF_A_MACHINE.finditer(text)]
            places += [place for place in {str(ROOT), str(Path.home())} if place in text]
            found |= {str(file.relative_to(ROOT)): places} if places else {}
    assert found == {}


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ('"base": "/{}/someone/.cache/model"', True),
        ("written to /{}/out.json", True),
        ("`agents/{}/model`, ~/{}/model, https://example.org/{}/a", False),
    ],
)
@pytest.mark.parametrize("place", PLACES.split("|"))
def test_a_place_on_a_machine_is_known(text, place, refused):
    assert bool(OF_A_MACHINE.search(text.replace("{}", place))) == refused


@pytest.mark.parametrize("file", ADAPTERS, ids=lambda file: file.parent.name)
def test_an_adapter_names_its_base_as_a_hub_does(file):
    config = json.loads(file.read_text())
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
