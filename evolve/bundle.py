"""The bundle: a population with all that it needs to trade again, anywhere, byte for byte."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from evobourse.agents.crowds.offsets import OffsetClusters
from evobourse.agents.crowds.order_regimes import OrderRegimes, read_regimes
from evobourse.agents.errors import AgentError
from evobourse.agents.minds.stored_answers import StoredAnswers, pack_answers, read_answers
from evobourse.agents.personas.mechanisms import OFF, Mechanisms
from evobourse.agents.personas.persona import Persona, Population, Society
from evobourse.agents.personas.social import Contest, Social
from evobourse.agents.personas.traits import OrderStyle, Traits
from evobourse.evolve.addresses import inside
from evobourse.evolve.bases.limits import BaseLimits
from evobourse.evolve.bases.protocol import Bases, PersonaBase
from evobourse.evolve.bases.stored import StoredBases
from evobourse.evolve.errors import RunError
from evobourse.market.rules import MarketRules
from evobourse.merge.errors import MergeError
from evobourse.merge.recipes.stack_recipe import AnyRecipe, recipe_from_dict, to_mergekit_yaml

SCHEMA = "evobourse/simulator/v1"
ANSWERS = "answers.safetensors"


@dataclass(frozen=True)
class Reference:
    """A simulation whose tape proves that a bundle arrived whole: its settings and digest."""

    agents: int
    days: int
    seed: int
    digest: str


@dataclass(frozen=True, eq=False)
class Bundle:
    """A population and its world.

    Attributes
    ----------
    name
        Of the run.
    base, base_hash
        The base model and the content hash of its weights.
    blocks
        Layer blocks of the mixtures.
    recipe
        The merge or stack that makes the population's base, or None.
    adapters, sources
        Folders of style adapters, in the order of the coefficients, and of recipe sources.
    population
        Personas and society.
    offsets
        Spread of limit prices, or the order generator that knows regimes.
    rules
        Of the market.
    history
        Price history in ticks that simulations start from, int64[H].
    reference
        See `Reference`.
    persona_bases
        Bases that personas name beside the main one, with hashes.
    memory_bytes
        Most that loaded bases take together, or None; see `evolve.bases.base_pool.BasePool`.
    answers
        What its minds say to every view that they can meet; None where they must be asked.
    """

    name: str
    base: str
    base_hash: str
    blocks: int
    recipe: AnyRecipe | None
    adapters: tuple[Path, ...]
    sources: tuple[Path, ...]
    population: Population
    offsets: OffsetClusters | OrderRegimes
    rules: MarketRules
    history: NDArray[np.int64]
    reference: Reference
    persona_bases: Mapping[str, PersonaBase] = field(default_factory=dict)
    memory_bytes: int | None = None
    answers: StoredAnswers | None = None

    def open_bases(
        self,
        base: str | None = None,
        adapters: Sequence[Path] | None = None,
        sources: Sequence[Path] | None = None,
    ) -> Bases:
        """Open the bundle's bases, or the main one with something else in its place."""
        from evobourse.evolve.bases.opening import open_bases  # torch, which the answers spare

        return open_bases(
            base or self.base,
            self.adapters if adapters is None else adapters,
            self.sources if sources is None else sources,
            self.blocks,
            others=self.persona_bases,
            limits=BaseLimits(memory_bytes=self.memory_bytes),
        )

    def own_bases(self, others: Mapping[str, PersonaBase] | None = None) -> Bases:
        """Return the bases that the bundle was exported with, which open for new questions alone.

        Parameters
        ----------
        others
            Bases beside them.

        Raises
        ------
        RunError
            The base has other weights; raised when it is opened.
        """
        whole = replace(self, persona_bases={**(others or {}), **self.persona_bases})
        if self.answers is None:
            return whole.live_bases()
        return StoredBases(self.answers, self.recipe, self.base_hash, whole.live_bases)

    def live_bases(self) -> Bases:
        """Open the bases that the bundle was exported with.

        Raises
        ------
        RunError
            The base has other weights.
        """
        bases = self.open_bases()
        if bases.base_hash != self.base_hash:
            raise RunError(
                f"bundle {self.name!r}: base {self.base!r} has other weights than at the export; "
                "use the model that it was exported with"
            )
        return bases


def write_bundle(
    folder: Path, bundle: Bundle, depth: int, scoreboard: Sequence[Mapping[str, Any]], card: str
) -> None:
    """Write a bundle folder, atomically.

    Parameters
    ----------
    folder
        Replaced if it exists.
    bundle
        What to write; adapters and sources are copied in.
    depth
        Number of layers of the base, for the mergekit recipe.
    scoreboard
        Rows for ``scoreboard.json``; without their ``seconds``.
    card
        Text of the bundle's ``README.md``.

    Raises
    ------
    RunError
        The folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".bundle-") as scratch:
            fresh = Path(scratch) / "bundle"
            _write(fresh, bundle, depth, scoreboard, card)
            if folder.exists():
                folder.rename(Path(scratch) / "replaced")
            fresh.rename(folder)
    except OSError as error:
        raise RunError(f"bundle {folder}: cannot be written ({error.strerror})") from error


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle and check every file's hash.

    Raises
    ------
    RunError
        A file is missing, changed or malformed, or the schema is another version's.
    """
    try:
        hashes = json.loads((folder / "hashes.json").read_text())
        for name, expected in hashes.items():
            if _sha256(inside(folder, name)) != expected:
                raise RunError(f"bundle {folder}: {name} was changed since the export")
        config = yaml.safe_load((folder / "simulator.yaml").read_text())
        personas = yaml.safe_load((folder / "personas.yaml").read_text())
        history = np.loadtxt(folder / "history.csv", dtype=np.int64, skiprows=1, ndmin=1)
    except OSError as error:
        raise RunError(
            f"bundle {folder}: {error.filename} cannot be read ({error.strerror}); "
            "name a folder that evobourse exported"
        ) from error
    except (ValueError, TypeError, AttributeError, yaml.YAMLError, RecursionError) as error:
        raise RunError(f"bundle {folder}: malformed ({' '.join(str(error).split())})") from error
    if history.ndim != 1 or len(history) < 2 or history.min() < 1:
        raise RunError(
            f"bundle {folder}: malformed (history.csv holds {history.shape} values, expected a "
            "column of closes in ticks, 1 or more)"
        )
    schema = config.get("schema") if isinstance(config, dict) else None
    if schema != SCHEMA:
        raise RunError(f"bundle {folder}: schema is {schema!r}, expected {SCHEMA!r}")
    try:
        recipe = config["recipe"]
        return Bundle(
            config["name"],
            config["base"],
            config["base_hash"],
            config["blocks"],
            recipe_from_dict(recipe) if recipe else None,
            tuple(inside(folder / "adapters", name) for name in config["adapters"]),
            tuple(inside(folder / "sources", name) for name in config["sources"]),
            Population(
                tuple(map(_read_persona, personas)),
                _read_society(config["society"]),
            ),
            _read_offsets(config["offsets"]),
            MarketRules(**config["rules"]),
            history,
            Reference(**config["reference"]),
            {
                name: PersonaBase(
                    tuple(
                        inside(inside(folder, other["folder"]), style)
                        for style in config["adapters"]
                    ),
                    other["base_hash"],
                )
                for name, other in config.get("persona_bases", {}).items()
            },
            config.get("memory_bytes"),
            read_answers(folder / ANSWERS) if ANSWERS in hashes else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, AgentError, MergeError) as error:
        raise RunError(f"bundle {folder}: simulator.yaml is malformed ({error!r})") from error


def _read_persona(values: Mapping[str, Any]) -> Persona:
    plain = {key: _frozen(value) for key, value in values.items() if key != "traits"}
    if traits := values.get("traits"):
        orders = OrderStyle(**traits["orders"])
        given = {key: _frozen(value) for key, value in traits.items()}
        plain["traits"] = Traits(**{**given, "orders": orders})
    return Persona(**plain)


def _read_offsets(values: Mapping[str, Any]) -> OffsetClusters | OrderRegimes:
    if "mixtures" in values:
        return read_regimes(values)
    return OffsetClusters(**{key: tuple(value) for key, value in values.items()})


def _read_society(values: Mapping[str, Any]) -> Society:
    social = values.get("social")
    if social is not None:
        contest = social.get("contest")
        social = Social(**{**social, "contest": None if contest is None else Contest(**contest)})
    mechanisms = Mechanisms(**values.get("mechanisms", {}))
    return Society(**{**values, "social": social, "mechanisms": mechanisms})


def _write(
    folder: Path, bundle: Bundle, depth: int, scoreboard: Sequence[Mapping[str, Any]], card: str
) -> None:
    folder.mkdir()
    copied = {"adapters": bundle.adapters, "sources": bundle.sources}
    pool: dict[str, Any] = {}
    for place, (name, other) in enumerate(bundle.persona_bases.items(), 1):
        where = "adapters" if other.adapters == bundle.adapters else f"adapters-{place}"
        copied[where] = other.adapters
        pool[name] = {"base_hash": other.base_hash, "folder": where}
    for kind, sources in copied.items():
        for source in sources:
            shutil.copytree(source, folder / kind / source.name)
    society = asdict(bundle.population.society)
    if society["social"] is None:
        del society["social"]  # a bundle of strangers says nothing of it
    elif society["social"]["contest"] is None:
        del society["social"]["contest"]
    if bundle.population.society.mechanisms == OFF:
        del society["mechanisms"]
    config = {
        "schema": SCHEMA,
        "name": bundle.name,
        "base": bundle.base,
        "base_hash": bundle.base_hash,
        "blocks": bundle.blocks,
        "recipe": bundle.recipe.to_dict() if bundle.recipe else None,
        "adapters": [source.name for source in bundle.adapters],
        "sources": [source.name for source in bundle.sources],
        "society": society,
        "offsets": _plain(asdict(bundle.offsets)),
        "rules": asdict(bundle.rules),
        "reference": asdict(bundle.reference),
    }
    if pool:
        config |= {"persona_bases": pool, "memory_bytes": bundle.memory_bytes}
    personas = [
        {key: value for key, value in _plain(asdict(p)).items() if key != "cores" or value}
        for p in bundle.population.personas
    ]
    for persona in personas:
        for key in ("base", "traits"):
            if persona[key] is None:
                del persona[key]
    _dump(folder / "simulator.yaml", config)
    _dump(folder / "personas.yaml", personas)
    if bundle.recipe:
        (folder / "recipe.yaml").write_text(to_mergekit_yaml(bundle.recipe, depth))
    np.savetxt(folder / "history.csv", bundle.history, "%d", header="close_ticks", comments="")
    # How long each row took is the machine's; a bundle's bytes are the population's.
    rows = [{key: row[key] for key in row if key != "seconds"} for row in scoreboard]
    (folder / "scoreboard.json").write_text(json.dumps(rows, indent=2) + "\n")
    (folder / "README.md").write_text(card)
    if bundle.answers is not None:
        (folder / ANSWERS).write_bytes(pack_answers(bundle.answers))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {path.relative_to(folder).as_posix(): _sha256(path) for path in files}
    (folder / "hashes.json").write_text(json.dumps(hashes, indent=2) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _dump(path: Path, value: Any) -> None:
    path.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
