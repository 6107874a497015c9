"""A fuzzer of the codec, by Atheris: `make fuzz`, or `python -m tests.fuzz.codec FOLDER [options of libFuzzer]`.

Bytes are mutated from the corpus of the tests, led by the lines that they reach in `vision.codec` and Pillow. Each has
to give a picture of the size that its header claims, or an `ImageError`; anything else, a crash too, stops the run and
leaves the bytes in a file. FOLDER keeps what reached new lines, so that the next run goes on from there.
"""

import hashlib
import sys
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["vision.codec", "PIL"]):
    from tests.corpus.oracle import read_anything

from tests.corpus.damaged import FAMILIES


def main(folder: Path, options: list[str]) -> None:
    """Seed the folder, then run until an option of libFuzzer says stop."""
    warnings.filterwarnings("ignore")
    folder.mkdir(parents=True, exist_ok=True)
    for samples in FAMILIES.values():
        for sample in samples():
            if 0 < len(sample.data) <= 20_000:
                (folder / hashlib.sha256(sample.data).hexdigest()[:16]).write_bytes(sample.data)
    atheris.Setup([sys.argv[0], str(folder), *options], read_anything)
    atheris.Fuzz()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
