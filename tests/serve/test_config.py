"""The configuration file of `moat serve`: a key is an option, the command line wins, a fault is named with its place."""
import json
import os
import subprocess
import sys
import tempfile

from harness import REAL, Server, run

TINY = os.path.abspath("tests/golden/models/tiny-llama.gguf")


def refused(text, *words):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write(text)
        f.flush()
        r = subprocess.run([REAL, "serve", "--config", f.name], capture_output=True, text=True, timeout=60)
        line = r.stderr.strip()
        assert r.returncode in (2, 3) and r.stdout == "" and "\n" not in line and f.name in line, r
        assert all(w in line for w in words), (words, line)


def test_options_and_models():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "moat.yaml")
        with open(path, "w") as f:
            f.write(f"models: [{TINY}]\nname: from-file\napi-key: [one, two]\nctx: 128\nport: 1\n")
        with Server("--config", path, models=[TINY]) as s:
            assert s.name == "from-file", "an option of the file"
            assert s.port != 1, "the command line wins (--port 0 of the harness)"
            assert s.call("GET", "/v1/models")[0] == 401
            assert s.call("GET", "/v1/models", headers={"Authorization": "Bearer two"})[0] == 200
        with Server("--config", path, "--api-key", "three", models=[TINY]) as s:
            assert s.call("GET", "/v1/models", headers={"Authorization": "Bearer two"})[0] == 401, "a list given by hand replaces"
            assert s.call("GET", "/v1/models", headers={"Authorization": "Bearer three"})[0] == 200


def test_models_of_the_file():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "moat.yaml")
        with open(path, "w") as f:
            f.write(f"models:\n- {TINY}\n")
        with Server(models=[], env={"MOAT_CONFIG": path}, store=folder) as s:
            assert s.name == "tiny-llama"
            assert [m["id"] for m in json.loads(json.dumps(s.call("GET", "/v1/models")[2]))["data"]] == ["tiny-llama"]


def test_faults_have_a_place():
    refused("port: 4096abc\n", "1:7", "port", "4096abc")
    refused("host: 127.0.0.1\nprot: 80\n", "2:1", "prot", "no option")
    refused("port: 80\nport: 81\n", "2:1", "twice")
    refused("verbose: yes\n", "1:10", "verbose", "true nor false")
    refused("port: [1]\n", "1:7", "port")
    refused("kv: f17\n", "1:5", "kv", "f16|q8|f32")
    refused("models: {}\n", "1:9", "models")
    refused("name: 'a\n", "YAML")
    refused("- port\n", "1:1", "mapping")
    refused("config: other.yaml\n", "1:1", "config")


run(sys.modules[__name__])
