"""The second front door: a playbook and its module, in front of the same engine as `./invoke provision`."""
