"""Exported folders on their way to a hub, by its ordinary client, against a hub of our own."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from huggingface_hub import HfApi

from evobourse.experiments.simulate.dataset import export_dataset


class Hub(BaseHTTPRequestHandler):
    """Answers what `upload_folder` asks, and keeps the files of each commit by repository."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/api/validate-yaml":
            self.validate(json.loads(body)["content"])
        elif "/preupload/" in self.path:
            files = [file["path"] for file in json.loads(body)["files"]]
            each = {"uploadMode": "regular", "shouldIgnore": False}
            self.answer({"files": [{"path": path, **each} for path in files]})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            files = [line["value"] for line in lines if line["key"] == "file"]
            held = {file["path"]: base64.b64decode(file["content"]) for file in files}
            place = self.path.partition("/api/")[2].partition("/commit/")[0]
            self.server.held[place] = held
            shown = place.removeprefix("models/")
            url = f"http://{self.headers['host']}/{shown}/commit/1"
            self.answer({"success": True, "commitUrl": url, "commitOid": "1"})
        else:
            self.send_error(404)

    def validate(self, card):
        """Refuse a card whose head is no mapping, as a hub does."""
        head = yaml.safe_load(card.split("---")[1]) if card.startswith("---\n") else {}
        good = isinstance(head, dict)
        self.answer({"errors": [] if good else [{"message": "no mapping"}], "warnings": []}, good)

    def answer(self, said, good=True):
        text = json.dumps(said).encode()
        self.send_response(200 if good else 400)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch):
    """Serve a hub; return the client of it and what it holds."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.held = {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    yield HfApi(endpoint=address, token="hf_of_a_test"), server.held
    server.shutdown()
    server.server_close()


def files_of(folder):
    folder = Path(folder)
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("kind", ["fast", "exchange"])
def test_a_tape_goes_up_as_a_data_set(hub, tapes, tmp_path, kind):
    api, held = hub
    export_dataset(tapes / kind, tmp_path / "year")
    api.upload_folder(repo_id="me/year", folder_path=tmp_path / "year", repo_type="dataset")
    assert held == {"datasets/me/year": files_of(tmp_path / "year")}
    assert "README.md" in held["datasets/me/year"]


def test_a_bundle_goes_up_whole(hub, small_bundle):
    api, held = hub
    api.upload_folder(repo_id="me/investors", folder_path=small_bundle)
    assert held == {"models/me/investors": files_of(small_bundle)}
    # its own adapters go up as they are, for PEFT to read
    assert "adapters/momentum/adapter_config.json" in held["models/me/investors"]
