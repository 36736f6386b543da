"""Parse a command line with QSIPrep's own parser; runs in a process of its own, with its folder in PYTHONPATH.

Prints the parsed options as JSON; exits as QSIPrep would.
"""

import json
import sys

from qsiprep.cli.parser import _build_parser

print(json.dumps(vars(_build_parser().parse_args(sys.argv[1:])), default=str))
