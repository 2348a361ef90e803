"""Random two-layer Llamas, folders of them, and recipes of every method."""

import subprocess
import sys

import pytest

DENSE = ((0.5, 0.7), (0.3, 1.0))
WEIGHTS = ((0.3, 0.5), (1.2, -0.4))
SPARSE_FILTERS = {
    "attention": {"weights": ((0.1, 0.2), (0.7, 0.6)), "densities": ((0.4, 0.2), (0.8, 0.5))},
    "embeddings": {"densities": ((0.6, 0.3), (0.3, 0.6))},
}
WEIGHT_FILTERS = {
    "attention": {"weights": ((0.1, 0.2), (0.7, 0.6))},
    "mlp": {"weights": ((0.9, 0.4), (0.25, 1.5))},
}
RECIPES = {
    "linear": {"weights": WEIGHTS, "filters": WEIGHT_FILTERS},
    "linear, not normalised": {"weights": WEIGHTS, "options": {"normalize": False}},
    "linear with the base": {"weights": WEIGHTS, "sources": ("base", "one")},
    "slerp": {
        "weights": ((0.2,), (0.7,)),
        "sources": ("one",),
        "filters": {"mlp": {"weights": ((0.9,), (0.1,))}},
    },
    "nuslerp": {"weights": WEIGHTS, "filters": WEIGHT_FILTERS},
    "nuslerp, by rows": {
        "weights": WEIGHTS,
        "options": {"nuslerp_flatten": False, "nuslerp_row_wise": True},
    },
    "task_arithmetic": {"weights": WEIGHTS, "filters": WEIGHT_FILTERS, "options": {"lambda": 0.7}},
    "ties": {"weights": WEIGHTS, "densities": DENSE, "filters": SPARSE_FILTERS},
    "dare_ties": {"weights": WEIGHTS, "densities": DENSE, "filters": SPARSE_FILTERS, "seed": 3},
    "dare_linear": {"weights": WEIGHTS, "densities": DENSE, "seed": 4},
    "della": {
        "weights": WEIGHTS,
        "densities": DENSE,
        "filters": SPARSE_FILTERS,
        "options": {"epsilon": 0.1},
        "seed": 5,
    },
    "della_linear": {"weights": WEIGHTS, "densities": DENSE, "seed": 6},
    "breadcrumbs": {"weights": WEIGHTS, "densities": DENSE, "options": {"gamma": 0.05}},
    "breadcrumbs_ties": {"weights": WEIGHTS, "densities": DENSE, "filters": SPARSE_FILTERS},
    "model_stock": {"weights": ((), ()), "options": {"filter_wise": True}},
    "karcher": {"weights": ((),), "sources": ("base", "one", "two"), "options": {"max_iter": 20}},
}


@pytest.fixture(scope="session")
def recipes():
    """One recipe or more of every method, over the sources one and two of base."""
    from evobourse.merge.recipes.recipe import FilterSetting, Recipe

    def build(name, weights, sources=("one", "two"), filters=None, **further):
        filters = {key: FilterSetting(**tables) for key, tables in (filters or {}).items()}
        method = name.replace(",", " ").split()[0]
        return Recipe(method, "base", sources, weights, filters=filters, **further)

    return {name: build(name, **values) for name, values in RECIPES.items()}


@pytest.fixture(scope="session")
def state_of():
    """Copy a model's state dict."""

    def copy(model):
        return {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}

    return copy


@pytest.fixture(scope="session")
def mergekit_yaml():
    """Run the command ``mergekit-yaml`` on many recipes, in one process for all."""
    script = (
        "import sys, json; from mergekit.scripts.run_yaml import main\n"
        "for arguments in json.loads(sys.argv[1]): main(arguments, standalone_mode=False)"
    )

    def run(folder, jobs):
        """Write and merge: name to (YAML, seed); returns name to the tensors written."""
        import json

        from safetensors.torch import load_file

        arguments = []
        for at, (text, seed) in enumerate(jobs.values()):
            config = folder / f"{at}.yaml"
            config.write_text(text)
            seeded = [] if seed is None else ["--random-seed", str(seed)]
            options = ["--quiet", "--no-copy-tokenizer", *seeded]
            arguments.append([str(config), str(folder / f"merged-{at}"), *options])
        command = [sys.executable, "-c", script, json.dumps(arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return {
            name: load_file(folder / f"merged-{at}" / "model.safetensors")
            for at, name in enumerate(jobs)
        }

    return run
