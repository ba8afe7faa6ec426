"""`python -m harness.verify`: the command line of verify without Invoke."""

import sys

from harness.verify.run import main

sys.exit(main())
