"""Makes every committed case anew: make_all.py [NAME...]. Sizes are data, in cases.json."""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE.parent / "golden" / "parity"


def main():
    cases = json.loads((HERE / "cases.json").read_text())
    for name in sys.argv[1:] or cases:
        case = cases[name]
        folder = GOLDEN / name
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.json"
        config.write_text(json.dumps(case["config"]))
        run = lambda script, *rest: subprocess.run([sys.executable, HERE / script, *map(str, rest)], check=True)
        run("make_checkpoint.py", config, folder, *case["checkpoint"])
        run("expect.py", folder, *case["expect"])
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{name}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
