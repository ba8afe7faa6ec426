"""The same promises as specs of plain testinfra, a fact per command, as its documentation shows it."""
