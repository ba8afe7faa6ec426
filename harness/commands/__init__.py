"""What each command of the front door does: compose, print, and answer with an exit status."""
