"""The door to held-out data: one reading per run, and every reading on record."""

import json
from dataclasses import dataclass
from pathlib import Path

from evobourse.fitness.errors import FitnessError


@dataclass(frozen=True)
class HeldOutDoor:
    """Guards the held-out splits of one run.

    Parameters
    ----------
    run_folder : Path
        Folder of the run; the ledger is ``heldout_readings.jsonl`` in it.
    """

    run_folder: Path

    @property
    def ledger(self) -> Path:
        """Path of the append-only record of readings."""
        return self.run_folder / "heldout_readings.jsonl"

    def read(self, split_name: str, purpose: str, digest: str) -> None:
        """Ask to read a held-out split; returning is the permission.

        The reading is on record before any data is touched, so a crash while scoring still
        counts. The same request again is allowed and leaves the ledger as it is: a resumed run
        scores the same things.

        Parameters
        ----------
        split_name : str
            The held-out split, with its asset where a run has several.
        purpose : str
            What the scores are for.
        digest : str
            Hash of everything that is scored on the split, chosen population and baselines alike.

        Raises
        ------
        FitnessError
            If this run has read the split for something else, or the ledger is damaged.
        """
        reading = {"split": split_name, "purpose": purpose, "digest": digest}
        earlier = [past for past in self._readings() if past["split"] == split_name]
        for past in earlier:
            if past["digest"] != digest:
                raise FitnessError(
                    f"{self.ledger}: split {split_name!r} was read for {past['purpose']!r} "
                    f"(digest {past['digest']}) and cannot be read again for {purpose!r} "
                    f"(digest {digest}): start a new run"
                )
        if reading not in earlier:
            self.run_folder.mkdir(parents=True, exist_ok=True)
            with self.ledger.open("a", encoding="utf-8") as ledger:
                ledger.write(json.dumps(reading, sort_keys=True) + "\n")

    def _readings(self) -> list[dict[str, str]]:
        if not self.ledger.exists():
            return []
        readings = []
        for number, line in enumerate(self.ledger.read_text(encoding="utf-8").splitlines(), 1):
            try:
                past = json.loads(line)
                readings.append({key: str(past[key]) for key in ("split", "purpose", "digest")})
            except (json.JSONDecodeError, KeyError, TypeError) as fault:
                raise FitnessError(
                    f"{self.ledger}, line {number}: not a reading record, so it cannot be told "
                    "what this run has read: restore the file or start a new run"
                ) from fault
        return readings
