"""``python -m renalis``."""

import sys

from renalis.cli import main

sys.exit(main())
